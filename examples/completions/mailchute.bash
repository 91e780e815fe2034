# bash completion for mailchute
# shellcheck shell=bash

_mailchute() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    COMPREPLY=()
    case $previous in
        --config)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --cwd | --root)
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return
            ;;
        --as)
            mapfile -t COMPREPLY < <(compgen -u -- "$current")
            return
            ;;
        --user)
            mapfile -t COMPREPLY < <(compgen -u -- "$current")
            return
            ;;
        --to | --from | --site | --relay | --for | --because | --since | --until | --lines | --ignore | --dns | --selector) return ;;
        --status)
            mapfile -t COMPREPLY < <(compgen -W "accepted deferred refused in-doubt failed spooled held" -- "$current")
            return
            ;;
        --by)
            mapfile -t COMPREPLY < <(compgen -W "site relay script user cwd unit job pool parent provider status" -- "$current")
            return
            ;;
    esac
    case ${COMP_WORDS[1]} in
        check) words="--site --as --domain --message --provider --offline --root --ignore --dns --selector --json --quiet --verbose --config" ;;
        explain) words="--as --cwd" ;;
        test) words="--to --from --as --cwd --site --relay" ;;
        alert) words="list test --as --site --config --relay" ;;
        login) words="--status --as --device --browser --paste --site --config --relay" ;;
        queue) words="list show hold release drop resolve --site --relay --json --summary --sent --as --message --arrived --again" ;;
        resend) words="--to --again --as" ;;
        ban) words="--user --for --because" ;;
        unban) words="--user" ;;
        bans) words="--json" ;;
        log) words="--since --until --site --to --from --relay --status --lines --follow --json --csv --summary --by" ;;
        show) words="--json" ;;
        report) words="--since --until --site --to --output" ;;
        import) words="--as --account --all --site --group --secrets --take --alias --accept --write --output --replace --root --json msmtp ssmtp nullmailer dma esmtp postfix exim opensmtpd sendmail wordpress laravel symfony django rails nextcloud drupal env" ;;
        init) words="--from --email --import --accept --provider --region --via --host --port --username --domain --set --client-id --secret-stdin --secret-file --secret-env --secret-command --secret-credential --user --sites-by-pool --site --group --sender --rewrite --refuse --alias --take-sendmail --to --dns --no-test --no-network --write --output --replace --yes --from-env --users" ;;
        secret) words="put check --group --site --replace --anyway --config" ;;
        lint | providers | status) words="" ;;
        *) words="--site --config --relay --help --version" ;;
    esac
    [ "$COMP_CWORD" -eq 1 ] && words+=" alert check explain test lint login log show report providers queue resend ban unban bans secret status import init"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _mailchute mailchute
