# fish completion for muxsocks-server

set -l program muxsocks-server
set -l run "not __fish_seen_subcommand_from init user"
set -l init "__fish_seen_subcommand_from init"

complete -c $program -n "__fish_is_first_token" -a init -d "make key, token and configuration"
complete -c $program -n "__fish_is_first_token" -a user -d "edit the users"
complete -c $program -n "__fish_is_first_token" -a health -d "ask the server that runs"

complete -c $program -s h -l help -d "print help and exit"
complete -c $program -n "not __fish_seen_subcommand_from init" -s c -l config -r -F -d "configuration file"
complete -c $program -n "$run" -s t -l test -d "check the configuration and exit"
complete -c $program -n "$run" -s l -l log-level -x -a "error warning info debug trace"
complete -c $program -n "$run" -s v -l verbose -d "the same as --log-level debug"
complete -c $program -n "$run" -l take-over -d "take the place of the server that runs"
complete -c $program -n "$run" -s V -l version -d "print the version and exit"

complete -c $program -n "__fish_seen_subcommand_from init user" -l host -x -d "the server's public name or address"
complete -c $program -n "__fish_seen_subcommand_from init user" -l no-pin -d "clients trust the certificate's authority instead of this key"
complete -c $program -n "$init" -l dir -r -a "(__fish_complete_directories)" -d "where the files go"
complete -c $program -n "$init" -l cert -r -F -d "a certificate chain to use"
complete -c $program -n "$init" -l key -r -F -d "its key"
complete -c $program -n "$init" -l user -x -d "the first user's name"
complete -c $program -n "$init" -l name -x -d "a name for the share link"
complete -c $program -n "$init" -l listen -x -d "where the server listens"
complete -c $program -n "$init" -l client-listen -x -d "where the client listens"
complete -c $program -n "$init" -l open-listener -d "let the client listen beyond loopback for anyone"
complete -c $program -n "$init" -l group -x -a "(__fish_complete_groups)" -d "a group that may read the server's files"
complete -c $program -n "$init" -l proxy-from -x -d "a network whose load balancers speak PROXY protocol"
complete -c $program -n "$init" -l allow -x -d "a network that is not public but may be connected to"
complete -c $program -n "$init" -l allow-private -d "all private addresses may be connected to"
complete -c $program -n "$init" -l force -d "replace files that exist"
complete -c $program -n "$init" -l once -d "change nothing if server.json exists"
complete -c $program -n "$init" -l no-qr -d "no QR code"

complete -c $program -n "__fish_seen_subcommand_from user" -a "add list remove"
