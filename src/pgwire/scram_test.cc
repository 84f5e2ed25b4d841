#include "pgwire/scram.h"

#include <gtest/gtest.h>

#include "pgwire/auth_client.h"
#include "pgwire/auth_server.h"
#include "pgwire/digest.h"
#include "pgwire/md5.h"
#include "pgwire/md5_server.h"
#include "pgwire/messages.h"

namespace pgb::pgwire {
namespace {

// RFC 7677, section 3.
constexpr char kClientNonce[] = "rOprNGfwEbeRWgbNEkqO";
constexpr char kServerNonce[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr char kServerFirst[] =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr char kClientFinal[] =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr char kServerFinal[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramVerifier rfc_verifier() {
  return *build_scram_verifier(Secret("pencil"), *from_base64("W22ZaJ0SNY7soEsUEjb6gQ=="));
}

TEST(Scram, ClientFollowsTheVectorOfRfc7677) {
  ScramClient client(Secret("pencil"), kClientNonce, "user");
  EXPECT_EQ(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  auto final = client.final(kServerFirst);
  ASSERT_TRUE(final.ok());
  EXPECT_EQ(*final, kClientFinal);
  EXPECT_TRUE(client.verify(kServerFinal).ok());
}

TEST(Scram, ServerFollowsTheVectorOfRfc7677) {
  ScramServer server(rfc_verifier(), kServerNonce);
  auto first = server.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*first, kServerFirst);
  auto final = server.final(kClientFinal);
  ASSERT_TRUE(final.ok());
  EXPECT_EQ(*final, kServerFinal);
  EXPECT_TRUE(server.done());
}

TEST(Scram, KeysRecoveredFromALoginLogInElsewhere) {
  ScramServer server(rfc_verifier(), kServerNonce);
  ASSERT_TRUE(server.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").ok());
  ASSERT_TRUE(server.final(kClientFinal).ok());
  ScramClient client(server.keys());
  ScramServer next(rfc_verifier());
  auto final = client.final(*next.first(client.first()));
  ASSERT_TRUE(final.ok());
  auto proof = next.final(*final);
  ASSERT_TRUE(proof.ok());
  EXPECT_TRUE(client.verify(*proof).ok());
}

TEST(Scram, RefusesAWrongPasswordAndAnUnknownUser) {
  ScramClient client(Secret("crayon"));
  ScramServer server(rfc_verifier());
  auto refused = server.final(*client.final(*server.first(client.first())));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kAuth);
  EXPECT_TRUE(server.keys().client_key.empty());

  ScramServer nobody = ScramServer::mock("nobody", Secret("s"), "N");
  ScramServer again = ScramServer::mock("nobody", Secret("s"), "N");
  ScramClient other(Secret("crayon"), "C");
  auto challenge = nobody.first(other.first());
  ASSERT_TRUE(challenge.ok());
  EXPECT_EQ(*challenge, *again.first(other.first()));  // the same salt each time
  auto mocked = nobody.final(*other.final(*challenge));
  ASSERT_FALSE(mocked.ok());
  EXPECT_EQ(mocked.error().code, Code::kAuth);
  EXPECT_EQ(mocked.error().message, refused.error().message);
}

TEST(Scram, ClientUnmasksAServerWithoutThePassword) {
  ScramClient client(Secret("pencil"), kClientNonce, "user");
  EXPECT_FALSE(client.verify(kServerFinal).ok());  // nothing proved yet
  ASSERT_TRUE(client.final(kServerFirst).ok());
  EXPECT_EQ(client.verify("v=" + base64(std::string(32, 'x'))).error().code, Code::kAuth);
  EXPECT_EQ(client.verify("e=other-error").error().code, Code::kAuth);
  EXPECT_EQ(client.verify("nonsense").error().code, Code::kProtocol);
}

TEST(Scram, RefusesBrokenMessages) {
  for (const char* text : {"", "n", "n,,", "n,,n=u", "n,,n=u,r=", "n,a=x,n=u,r=abc", "p=tls-unique,,n=u,r=abc",
                           "x,,n=,r=a", "n,,m=ext,n=u,r=abc", "n,,n=u,r=a b"}) {
    EXPECT_FALSE(ScramServer(rfc_verifier()).first(text).ok()) << text;
  }
  for (const char* text : {"", "r=rOprNGfwEbeRWgbNEkqOx", "r=otherxxxxxxxxxxxxxxxxxxxxx,s=W22Z,i=4096",
                           "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0",
                           "r=rOprNGfwEbeRWgbNEkqOx,s=!!!!,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=99999999"}) {
    EXPECT_FALSE(ScramClient(Secret("pencil"), kClientNonce).final(text).ok()) << text;
  }
  std::string good = kClientFinal;
  for (size_t size = 0; size < good.size(); ++size) {
    ScramServer server(rfc_verifier(), kServerNonce);
    ASSERT_TRUE(server.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").ok());
    EXPECT_FALSE(server.final(good.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ScramServer(rfc_verifier()).final(good).ok());  // out of turn
}

TEST(Scram, RefusesAChangedChannelBindingFlag) {
  ScramServer server(rfc_verifier(), kServerNonce);
  ASSERT_TRUE(server.first("y,,n=user,r=rOprNGfwEbeRWgbNEkqO").ok());
  EXPECT_FALSE(server.final(kClientFinal).ok());
}

TEST(Scram, BindsTheTalkToTheCertificateAndStillGivesTheKeys) {
  ScramClient client(Secret("pencil"), kClientNonce, "user");
  client.bind_to("hash");
  EXPECT_EQ(client.first(), "p=tls-server-end-point,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  ScramServer server(rfc_verifier(), kServerNonce);
  server.offer_binding("hash");
  auto first = server.first(client.first(), true);
  ASSERT_TRUE(first.ok()) << first.error().message;
  auto final = client.final(*first);
  ASSERT_TRUE(final.ok());
  EXPECT_EQ(final->substr(0, final->find(',')), "c=" + base64("p=tls-server-end-point,,hash"));
  auto proof = server.final(*final);
  ASSERT_TRUE(proof.ok()) << proof.error().message;
  EXPECT_TRUE(client.verify(*proof).ok());

  ScramClient next(server.keys());  // to a server without TLS
  ScramServer plain(rfc_verifier());
  EXPECT_TRUE(plain.final(*next.final(*plain.first(next.first()))).ok());
}

TEST(Scram, AnotherCertificateInBetweenIsFoundOut) {
  ScramClient client(Secret("pencil"));
  client.bind_to("hash of the one in the middle");
  ScramServer server(rfc_verifier());
  server.offer_binding("hash");
  auto refused = server.final(*client.final(*server.first(client.first(), true)));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("another certificate"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(server.done());
}

TEST(Scram, AnOfferThatWasTakenAwayIsFoundOut) {
  ScramServer offering(rfc_verifier());
  offering.offer_binding("hash");
  auto refused = offering.first("y,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kProtocol);
  EXPECT_NE(refused.error().message.find("told that it was not"), std::string::npos);
  EXPECT_TRUE(offering.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").ok()) << "a client that cannot bind may come";
}

TEST(Scram, MechanismAndBindingFlagMustAgree) {
  const auto answer = [](const char* text, bool plus, bool offered) {
    ScramServer server(rfc_verifier());
    if (offered) server.offer_binding("hash");
    return server.first(text, plus).ok();
  };
  EXPECT_TRUE(answer("p=tls-server-end-point,,n=,r=a", true, true));
  EXPECT_FALSE(answer("p=tls-server-end-point,,n=,r=a", false, true));
  EXPECT_FALSE(answer("p=tls-server-end-point,,n=,r=a", false, false));
  EXPECT_FALSE(answer("p=tls-exporter,,n=,r=a", true, true));
  EXPECT_FALSE(answer("p=tls-server-end-pointx,,n=,r=a", true, true));
  EXPECT_FALSE(answer("n,,n=,r=a", true, true));
  EXPECT_FALSE(answer("y,,n=,r=a", true, true));
  EXPECT_TRUE(answer("y,,n=,r=a", false, false));
}

TEST(ScramVerifier, ReadsWhatItWrites) {
  Secret text = to_text(rfc_verifier());
  auto verifier = parse_scram_verifier(text.reveal());
  ASSERT_TRUE(verifier.ok());
  EXPECT_TRUE(to_text(*verifier) == text);
  EXPECT_EQ(text.reveal().substr(0, 44), "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$");
  for (size_t size = 0; size < text.reveal().size(); ++size) {
    EXPECT_FALSE(parse_scram_verifier(text.reveal().substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(parse_scram_verifier("SCRAM-SHA-256$0" + text.reveal().substr(18)).ok());
}

TEST(Base64, IsStrict) {
  for (const char* text : {"", "f", "fo", "foo", "foob"}) EXPECT_EQ(*from_base64(base64(text)), text);
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  for (const char* text : {"Z", "Zg=", "Zh==", "Zg==\n", "====", "Zm=v", "Zm9v "})
    EXPECT_FALSE(from_base64(text)) << text;
}

TEST(Md5, AnswersAsPostgresExpects) {
  auto inner = *md5_hex("secretalice");
  auto answer = md5_response(Secret("secret"), "alice", "salt");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->reveal(), "md5" + *md5_hex(inner + "salt"));
  EXPECT_TRUE(*md5_response_from_stored(Secret("md5" + inner), "salt") == *answer);
  EXPECT_FALSE(md5_response_from_stored(Secret("plain"), "salt").ok());
  EXPECT_EQ(*md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
}

TEST(Md5, StoredFormIsToldFromPasswords) {
  const Secret stored = *md5_stored(Secret("secret"), "alice");
  EXPECT_EQ(stored.reveal(), "md5" + *md5_hex("secretalice"));
  EXPECT_TRUE(is_md5_stored(stored.reveal()));
  const std::string digits(32, 'a');
  for (const std::string& text : {std::string(), std::string("md5"), "md5" + digits + "a", "md5" + digits.substr(1),
                                  "md5" + digits.substr(1) + "A", "md5" + digits.substr(1) + "g", "MD5" + digits}) {
    EXPECT_FALSE(is_md5_stored(text)) << text;
  }
}

std::string auth(AuthCode code, std::string data = {}) {
  AuthenticationRequest request;
  request.code = code;
  request.data = std::move(data);
  std::string bytes;
  encode(bytes, request);
  return bytes.substr(kHeaderSize);
}

TEST(Auth, ClientAndServerMeet) {
  AuthClient client("alice", Secret("pencil"));
  AuthServer server{ScramServer(rfc_verifier())};
  auto initial = client.feed(server.start().substr(kHeaderSize));
  ASSERT_TRUE(initial.ok());
  auto challenge = server.feed(initial->send.substr(kHeaderSize));
  ASSERT_TRUE(challenge.ok());
  auto response = client.feed(challenge->send.substr(kHeaderSize));
  ASSERT_TRUE(response.ok());
  auto outcome = server.feed(response->send.substr(kHeaderSize));
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->done);
  std::string ok_bytes;
  encode(ok_bytes, AuthenticationRequest{});
  auto sasl_final = outcome->send.substr(0, outcome->send.size() - ok_bytes.size());
  auto verified = client.feed(sasl_final.substr(kHeaderSize));
  ASSERT_TRUE(verified.ok());
  EXPECT_FALSE(verified->done);
  EXPECT_TRUE(client.feed(auth(AuthCode::kOk))->done);
  EXPECT_FALSE(server.keys().client_key.empty());
}

std::string md5_answer(AuthClient client, const Md5Server& server) {
  const auto step = client.feed(server.start().substr(kHeaderSize));
  return step ? step->send.substr(kHeaderSize) : "";
}

TEST(Auth, Md5LetsInWhoKnowsThePasswordOrItsHashAndNobodyElse) {
  const Secret stored = *md5_stored(Secret("secret"), "alice");
  Md5Server server(stored);
  const auto in = server.feed(md5_answer(AuthClient("alice", Secret("secret")), server));
  ASSERT_TRUE(in);
  EXPECT_TRUE(in->done);
  EXPECT_EQ(in->send, std::string("R\0\0\0\010\0\0\0\0", 9));
  Credentials hash;
  hash.md5 = stored;
  EXPECT_TRUE(server.feed(md5_answer(AuthClient("alice", hash), server)));
  EXPECT_EQ(server.feed(md5_answer(AuthClient("alice", Secret("Secret")), server)).error().code, Code::kAuth);
  EXPECT_EQ(server.feed(md5_answer(AuthClient("bob", Secret("secret")), server)).error().code, Code::kAuth);
  EXPECT_EQ(server.feed(std::string("\0", 1)).error().code, Code::kAuth) << "an empty answer";
  EXPECT_EQ(server.feed(stored.reveal() + '\0').error().code, Code::kAuth) << "the hash itself";
  EXPECT_EQ(server.feed("no end").error().code, Code::kProtocol);
  EXPECT_EQ(server.feed("").error().code, Code::kProtocol);
}

TEST(Auth, Md5AsksAnewEachTimeAndAsksUsersThatThereAreNotTheSameWay) {
  const Secret stored = *md5_stored(Secret("secret"), "alice");
  const Md5Server one(stored), two(stored);
  EXPECT_EQ(one.start().size(), 13u);
  EXPECT_NE(one.start(), two.start());
  Md5Server nobody = Md5Server::mock();
  EXPECT_EQ(nobody.start().substr(0, 9), one.start().substr(0, 9));
  EXPECT_EQ(nobody.feed(md5_answer(AuthClient("alice", Secret("secret")), nobody)).error().code, Code::kAuth);
}

TEST(Auth, ClientSaysWhatIsMissingWhenItCannotAnswer) {
  Credentials hash, keys, nothing;
  hash.md5 = *md5_stored(Secret("secret"), "alice");
  keys.keys = ScramKeys{Secret(std::string(32, 'k')), Secret(std::string(32, 's'))};
  const std::string md5 = auth(AuthCode::kMd5Password, "salt");
  const std::string sasl = AuthServer{ScramServer(rfc_verifier())}.start().substr(kHeaderSize);
  const auto complaint = [](const Credentials& known, const std::string& request) {
    const auto answer = AuthClient("alice", known).feed(request);
    return answer ? "" : answer.error().message;
  };
  EXPECT_EQ(complaint(hash, md5), "");
  EXPECT_EQ(complaint(keys, sasl), "");
  EXPECT_NE(complaint(hash, sasl).find("only its md5 hash is known"), std::string::npos);
  EXPECT_NE(complaint(keys, md5).find("only keys for SCRAM are known"), std::string::npos);
  EXPECT_NE(complaint(nothing, md5).find("none is known"), std::string::npos);
  EXPECT_NE(complaint(nothing, sasl).find("\"alice\""), std::string::npos);
  EXPECT_TRUE(AuthClient("alice", nothing).feed(auth(AuthCode::kOk))->done) << "a server that trusts us";
}

// What the client's first answer says when server and client know these hashes of the server's certificate.
std::string chosen(const std::string& servers, const std::string& clients) {
  AuthClient::Options options;
  options.end_point = clients;
  AuthClient client("alice", Secret("pencil"), options);
  AuthServer server(ScramServer(rfc_verifier()), servers);
  auto initial = client.feed(server.start().substr(kHeaderSize));
  if (!initial) return initial.error().message;
  auto sent = decode_sasl_initial_response(initial->send.substr(kHeaderSize));
  auto challenge = server.feed(initial->send.substr(kHeaderSize));
  if (!challenge) return challenge.error().message;
  auto response = client.feed(challenge->send.substr(kHeaderSize));
  auto outcome = server.feed(response->send.substr(kHeaderSize));
  if (!outcome) return outcome.error().message;
  return sent->mechanism + " " + sent->data->substr(0, sent->data->find(','));
}

TEST(Auth, TheChannelIsBoundWhereBothEndsCan) {
  EXPECT_EQ(chosen("", ""), "SCRAM-SHA-256 n");
  EXPECT_EQ(chosen("hash", "hash"), "SCRAM-SHA-256-PLUS p=tls-server-end-point");
  EXPECT_EQ(chosen("hash", ""), "SCRAM-SHA-256 n");
  EXPECT_EQ(chosen("", "hash"), "SCRAM-SHA-256 y");
  EXPECT_NE(chosen("hash", "other").find("another certificate"), std::string::npos);
}

TEST(Auth, AMechanismThatWasNotOfferedIsRefused) {
  ScramClient scram(Secret("pencil"));
  scram.bind_to("hash");
  std::string bytes;
  encode(bytes, SaslInitialResponse{kScramSha256Plus, scram.first()});
  AuthServer server{ScramServer(rfc_verifier())};
  EXPECT_EQ(server.feed(bytes.substr(kHeaderSize)).error().code, Code::kProtocol);
}

TEST(Auth, KeysOfABoundLoginLogInWithAndWithoutBinding) {
  for (const char* end_point : {"", "hash"}) {
    AuthClient::Options options;
    options.end_point = "hash";
    ScramServer recovered(rfc_verifier());
    recovered.offer_binding("hash");
    ScramClient first(Secret("pencil"));
    first.bind_to("hash");
    ASSERT_TRUE(recovered.final(*first.final(*recovered.first(first.first(), true))).ok());
    AuthClient client("alice", recovered.keys(), options);
    AuthServer server(ScramServer(rfc_verifier()), end_point);
    auto initial = client.feed(server.start().substr(kHeaderSize));
    auto challenge = server.feed(initial->send.substr(kHeaderSize));
    ASSERT_TRUE(challenge.ok()) << challenge.error().message;
    EXPECT_TRUE(server.feed(client.feed(challenge->send.substr(kHeaderSize))->send.substr(kHeaderSize))->done);
  }
}

TEST(Auth, ClientDoesNotLetTheServerSkipItsProof) {
  AuthClient client("alice", Secret("pencil"));
  AuthServer server{ScramServer(rfc_verifier())};
  ASSERT_TRUE(client.feed(server.start().substr(kHeaderSize)).ok());
  auto skipped = client.feed(auth(AuthCode::kOk));
  ASSERT_FALSE(skipped.ok());
  EXPECT_EQ(skipped.error().code, Code::kAuth);
}

TEST(Auth, ClientSendsCleartextOnlyWhenAllowed) {
  AuthClient careful("alice", Secret("pencil"));
  EXPECT_EQ(careful.feed(auth(AuthCode::kCleartextPassword)).error().code, Code::kAuth);
  AuthClient::Options options;
  options.allow_cleartext = true;
  AuthClient open("alice", Secret("pencil"), options);
  EXPECT_EQ(open.feed(auth(AuthCode::kCleartextPassword))->send, std::string("p\0\0\0\013pencil\0", 12));
}

TEST(Auth, ClientRefusesUnknownMethodsAndMessagesOutOfTurn) {
  AuthClient client("alice", Secret("pencil"));
  EXPECT_EQ(client.feed(auth(AuthCode::kGss)).error().code, Code::kAuth);
  EXPECT_EQ(client.feed(auth(AuthCode::kSaslContinue, "r=x")).error().code, Code::kProtocol);
  EXPECT_EQ(client.feed("").error().code, Code::kProtocol);
  AuthServer server{ScramServer(rfc_verifier())};
  EXPECT_EQ(server.feed("garbage").error().code, Code::kProtocol);
}

}  // namespace
}  // namespace pgb::pgwire
