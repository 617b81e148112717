# bash completion for muxsocks-client

_muxsocks_client() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    case $previous in
    -c | --config | --token-file | --link-file | --ca | --out)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    -l | --log-level)
        mapfile -t COMPREPLY < <(compgen -W 'error warning info debug trace' -- "$current")
        return
        ;;
    --server | --target)
        mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")
        return
        ;;
    --listen | --user | --pin | --limit)
        return
        ;;
    esac
    local run='--config --test --log-level --verbose --version --take-over --help --listen --server --user
        --token-file --link-file --ca --pin'
    case ${COMP_WORDS[1]} in
    import) words='--link-file --out --listen --open-listener --force --help' ;;
    doctor) words='--config --link-file --target --help' ;;
    health | env) words=$run ;;
    status) words='--config --json --watch --help' ;;
    streams) words='--config --json --watch --limit --help' ;;
    *) words=$run ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return
    fi
    compopt -o filenames
    ((COMP_CWORD > 1)) && words='' || words='import doctor health env status streams'
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current"; compgen -f -- "$current")
}

complete -F _muxsocks_client muxsocks-client
