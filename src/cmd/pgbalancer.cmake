pgb_program(pgbalancer DEPS base os net http pgclient proxy control)
target_link_options(pgbalancer PRIVATE ${PGB_LTO})
