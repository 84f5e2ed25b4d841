pgb_program(pgbalancer_agent DEPS agent)
