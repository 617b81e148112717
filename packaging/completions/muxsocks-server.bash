# bash completion for muxsocks-server

_muxsocks_server() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    case $previous in
    -c | --config | --cert | --key)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --dir)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    -l | --log-level)
        mapfile -t COMPREPLY < <(compgen -W 'error warning info debug trace' -- "$current")
        return
        ;;
    --group)
        mapfile -t COMPREPLY < <(compgen -g -- "$current")
        return
        ;;
    --host)
        mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")
        return
        ;;
    --limit | --user | --name | --listen | --client-listen | --proxy-from | --allow)
        return
        ;;
    esac
    local run='--config --test --log-level --verbose --take-over --version --help'
    case ${COMP_WORDS[1]} in
    init)
        words='--host --dir --cert --key --no-pin --user --name --listen --client-listen --open-listener
            --group --proxy-from --allow --allow-private --force --once --no-qr --help'
        ;;
    user) words='--config --host --no-pin --help' ;;
    status | users | usage) words='--config --json --watch --help' ;;
    streams) words='--config --json --watch --limit --help' ;;
    kick) words='--config --help' ;;
    *) words=$run ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return
    fi
    compopt -o filenames
    words=''
    if ((COMP_CWORD == 1)); then
        words='init user health status users usage streams kick'
    elif ((COMP_CWORD == 2)) && [[ ${COMP_WORDS[1]} == user ]]; then
        words='add list remove'
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current"; compgen -f -- "$current")
}

complete -F _muxsocks_server muxsocks-server
