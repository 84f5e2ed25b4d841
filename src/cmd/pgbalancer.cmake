pgb_program(pgbalancer DEPS base os net http pgclient proxy control)
