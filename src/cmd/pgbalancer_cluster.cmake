pgb_program(pgbalancer_cluster DEPS cluster)
