# fish completion for mailchute
complete -c mailchute -f
complete -c mailchute -n __fish_use_subcommand -a explain -d 'Tell where a message would go, and why'
complete -c mailchute -n __fish_use_subcommand -a test -d 'Send a test message'
complete -c mailchute -n __fish_use_subcommand -a lint -d 'List what would be changed in a message'
complete -c mailchute -n __fish_use_subcommand -a providers -d 'List the known providers'
complete -c mailchute -n __fish_use_subcommand -a status -d 'Explain an exit status'
complete -c mailchute -n __fish_use_subcommand -a init -d 'Print the configuration in the environment as a file'
complete -c mailchute -n __fish_use_subcommand -l site -x -d 'Speak as this site'
complete -c mailchute -n __fish_use_subcommand -l config -r -F -d 'Use this configuration file'
complete -c mailchute -n __fish_use_subcommand -l relay -x -d 'Use this relay of the site'
complete -c mailchute -n __fish_use_subcommand -l help -d 'Print a summary'
complete -c mailchute -n __fish_use_subcommand -l version -d 'Print the version'
complete -c mailchute -n '__fish_seen_subcommand_from explain test' -l as -x -a '(__fish_complete_users)' -d 'As this user'
complete -c mailchute -n '__fish_seen_subcommand_from explain test' -l cwd -x -a '(__fish_complete_directories)' -d 'From this directory'
complete -c mailchute -n '__fish_seen_subcommand_from test' -l to -x -d Recipient
complete -c mailchute -n '__fish_seen_subcommand_from test' -l from -x -d Sender
complete -c mailchute -n '__fish_seen_subcommand_from test' -l site -x -d 'Speak as this site'
complete -c mailchute -n '__fish_seen_subcommand_from test' -l relay -x -d 'Use this relay'
complete -c mailchute -n '__fish_seen_subcommand_from init' -l from-env -d 'From the environment'
