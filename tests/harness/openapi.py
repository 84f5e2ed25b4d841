"""The rules of OpenAPI 3.1 for a document: its structure as a JSON Schema, and what no schema can say. Of what the standard has, only
what an interface of JSON needs is known here: all else is refused."""
import re

import jsonschema

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def _object(required: str, /, **properties) -> dict:
    """With these properties and no others, but for extensions."""
    return {"type": "object", "required": required.split(), "properties": properties, "patternProperties": {"^x-": True},
            "additionalProperties": False}


def _ref(name: str) -> dict:
    return {"$ref": f"#/$defs/{name}"}


def _map(value: dict, names: str = ".") -> dict:
    return {"type": "object", "patternProperties": {names: value}, "additionalProperties": False}


def _or_reference(name: str) -> dict:
    return {"if": {"type": "object", "required": ["$ref"]}, "then": _ref("reference"), "else": _ref(name)}


_TEXT, _FLAG, _URI = {"type": "string"}, {"type": "boolean"}, {"type": "string", "format": "uri-reference"}
_NAME = "^[a-zA-Z0-9._-]+$"  # of components

_DEFS = {
    "reference": _object("$ref", **{"$ref": _URI, "summary": _TEXT, "description": _TEXT}),
    "info": _object("title version", title=_TEXT, version=_TEXT, summary=_TEXT, description=_TEXT, termsOfService=_URI,
                    contact=_object("", name=_TEXT, url=_URI, email=_TEXT),
                    # Of identifier and url there is one at most.
                    license=_object("name", name=_TEXT, identifier=_TEXT, url=_URI) | {"not": {"required": ["identifier", "url"]}}),
    "server": _object("url", url=_TEXT, description=_TEXT),
    "schema": {"type": ["object", "boolean"]},  # a JSON Schema: held against its own rules
    "media": _object("", schema=_ref("schema"), example=True, examples={"type": "object"}, encoding={"type": "object"}),
    "content": _map(_ref("media"), "^[^/]+/[^/]+$"),
    "header": _object("", description=_TEXT, required=_FLAG, deprecated=_FLAG, schema=_ref("schema"), content=_ref("content")),
    "parameter": _object("name in", **{
        "name": _TEXT, "in": {"enum": ["query", "header", "path", "cookie"]}, "description": _TEXT, "required": _FLAG,
        "deprecated": _FLAG, "allowEmptyValue": _FLAG, "style": _TEXT, "explode": _FLAG, "schema": _ref("schema"),
        "content": _ref("content") | {"minProperties": 1, "maxProperties": 1}, "example": True}) | {
            "oneOf": [{"required": ["schema"]}, {"required": ["content"]}],
            # What is in the path is always there.
            "if": {"properties": {"in": {"const": "path"}}}, "then": {"required": ["required"], "properties": {"required": {"const": True}}}},
    "body": _object("content", content=_ref("content") | {"minProperties": 1}, description=_TEXT, required=_FLAG),
    "response": _object("description", description=_TEXT, headers=_map(_or_reference("header")), content=_ref("content")),
    "responses": _map(_or_reference("response"), "^([1-5]([0-9][0-9]|XX)|default)$") | {"minProperties": 1},
    "security": {"type": "array", "items": _map({"type": "array", "items": _TEXT})},
    "operation": _object("responses", tags={"type": "array", "items": _TEXT}, summary=_TEXT, description=_TEXT, operationId=_TEXT,
                         parameters={"type": "array", "items": _or_reference("parameter")}, requestBody=_or_reference("body"),
                         responses=_ref("responses"), deprecated=_FLAG, security=_ref("security")),
    "path": _object("", summary=_TEXT, description=_TEXT, parameters={"type": "array", "items": _or_reference("parameter")},
                    **{method: _ref("operation") for method in METHODS}),
    "scheme": _object("type", type={"enum": ["http", "apiKey", "mutualTLS"]}, description=_TEXT, scheme=_TEXT, bearerFormat=_TEXT,
                      name=_TEXT, **{"in": {"enum": ["query", "header", "cookie"]}}) | {"allOf": [
                          {"if": {"properties": {"type": {"const": "http"}}}, "then": {"required": ["scheme"]}},
                          {"if": {"properties": {"type": {"const": "apiKey"}}}, "then": {"required": ["name", "in"]}}]},
    "components": _object("", schemas=_map(_ref("schema"), _NAME), responses=_map(_or_reference("response"), _NAME),
                          parameters=_map(_or_reference("parameter"), _NAME), securitySchemes=_map(_or_reference("scheme"), _NAME)),
}

STRUCTURE = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": _DEFS} | _object(
    "openapi info paths", openapi={"type": "string", "pattern": r"^3\.1\.\d+$"}, info=_ref("info"), jsonSchemaDialect=_URI,
    servers={"type": "array", "items": _ref("server")}, paths=_map(_ref("path"), "^/"), components=_ref("components"),
    security=_ref("security"), tags={"type": "array", "items": _object("name", name=_TEXT, description=_TEXT)})


def _walk(value):
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(part)


def resolve(document: dict, reference: str):
    assert reference.startswith("#/"), f"{reference} leads out of the document"
    place = document
    for part in reference[2:].split("/"):
        assert isinstance(place, dict) and part in place, f"{reference} leads nowhere"
        place = place[part]
    return place


def _check_operation(document: dict, path: str, method: str, operation: dict) -> None:
    at = f"{method} {path}"
    given = [parameter if "$ref" not in parameter else resolve(document, parameter["$ref"]) for parameter in
             document["paths"][path].get("parameters", []) + operation.get("parameters", [])]
    names = [(parameter["in"], parameter["name"]) for parameter in given]
    assert len(names) == len(set(names)), f"{at}: a parameter is named twice: {names}"
    in_path = {name for place, name in names if place == "path"}
    assert in_path == set(re.findall(r"\{([^}]*)\}", path)), f"{at}: the path has other parameters than {in_path}"
    assert "requestBody" not in operation or method not in ("get", "head", "delete"), f"{at}: such requests have no body"
    schemes = document.get("components", {}).get("securitySchemes", {})
    for choice in operation.get("security", document.get("security", [])):
        assert set(choice) <= set(schemes), f"{at}: there is no security scheme {set(choice) - set(schemes)}"


def check(document: dict) -> None:
    """Raises if it is no OpenAPI 3.1 document."""
    jsonschema.Draft202012Validator(STRUCTURE).validate(document)
    for part in _walk(document):
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            resolve(document, part["$ref"])
        if isinstance(part, dict) and isinstance(part.get("schema"), dict):
            jsonschema.Draft202012Validator.check_schema(part["schema"])
    for schema in document.get("components", {}).get("schemas", {}).values():
        jsonschema.Draft202012Validator.check_schema(schema)
    shapes, ids = [], []
    for path, item in document["paths"].items():
        shapes.append(re.sub(r"\{[^}]*\}", "{}", path))
        for method in METHODS:
            if method in item:
                _check_operation(document, path, method, item[method])
                ids.append(item[method].get("operationId"))
    assert len(shapes) == len(set(shapes)), f"two paths are the same but for the names of their parameters: {shapes}"
    known = [one for one in ids if one is not None]
    assert len(known) == len(set(known)), f"an operationId is there twice: {known}"
