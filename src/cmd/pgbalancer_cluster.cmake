pgb_program(pgbalancer_cluster DEPS cli)
