# fish completion for muxsocks-client

set -l program muxsocks-client
set -l run "not __fish_seen_subcommand_from import doctor status streams"

complete -c $program -n "__fish_is_first_token" -a import -d "make client.json from a share link"
complete -c $program -n "__fish_is_first_token" -a doctor -d "find out what is wrong"
complete -c $program -n "__fish_is_first_token" -a health -d "ask the client that runs"
complete -c $program -n "__fish_is_first_token" -a env -d "print variables for a shell"
complete -c $program -n "__fish_is_first_token" -a status -d "what the client that runs does"
complete -c $program -n "__fish_is_first_token" -a streams -d "its busiest streams"

complete -c $program -s h -l help -d "print help and exit"
complete -c $program -n "not __fish_seen_subcommand_from import" -s c -l config -r -F -d "configuration file"
complete -c $program -n "$run" -s t -l test -d "check the configuration and exit"
complete -c $program -n "$run" -s l -l log-level -x -a "error warning info debug trace"
complete -c $program -n "$run" -s v -l verbose -d "the same as --log-level debug"
complete -c $program -n "$run" -l take-over -d "take the place of the client that runs"
complete -c $program -n "$run" -s V -l version -d "print the version and exit"
complete -c $program -n "not __fish_seen_subcommand_from doctor" -l listen -x -d "where applications connect"
complete -c $program -n "$run" -l server -x -d "the muxsocks-server"
complete -c $program -n "$run" -l user -x -d "user name at the server"
complete -c $program -n "$run" -l token-file -r -F -d "file with the user's token"
complete -c $program -l link-file -r -F -d "file with a share link"
complete -c $program -n "$run" -l ca -r -F -d "PEM file of trusted certificates"
complete -c $program -n "$run" -l pin -x -d "digest of the server's public key"

complete -c $program -n "__fish_seen_subcommand_from import" -l out -r -F -d "the file to write"
complete -c $program -n "__fish_seen_subcommand_from import" -l open-listener -d "allow listening beyond loopback for anyone"
complete -c $program -n "__fish_seen_subcommand_from import" -l force -d "replace the file"
complete -c $program -n "__fish_seen_subcommand_from doctor" -l target -x -d "what the server is asked to connect to"

complete -c $program -n "__fish_seen_subcommand_from status streams" -l json -d "as JSON"
complete -c $program -n "__fish_seen_subcommand_from status streams" -l watch -d "show it anew each second"
complete -c $program -n "__fish_seen_subcommand_from streams" -l limit -x -d "how many"
