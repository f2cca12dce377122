package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// The scripts ask mpbench help for the flags of a command, so that they fit the program that is installed.
var completions = map[string]string{
	"bash": `_mpbench() {
	local cur=${COMP_WORDS[COMP_CWORD]} cmd=run
	case ${COMP_WORDS[1]} in COMMANDS) cmd=${COMP_WORDS[1]} ;; esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$(mpbench help "$cmd" 2>/dev/null | sed -n 's/^  \(-[^[:space:]]*\).*/\1/p')" -- "$cur"))
	elif [[ $COMP_CWORD == 1 || ${COMP_WORDS[1]} == help ]]; then
		COMPREPLY=($(compgen -W "NAMES" -- "$cur"))
	else
		COMPREPLY=($(compgen -f -- "$cur"))
	fi
}
complete -o filenames -F _mpbench mpbench
`,
	"zsh": `#compdef mpbench
autoload -U +X bashcompinit && bashcompinit
` + "BASH",
	"fish": `complete -c mpbench -f -n __fish_use_subcommand -a "NAMES"
function __mpbench_flags
	set -l words (commandline -opc)
	set -l cmd run
	if set -q words[2]; and contains -- $words[2] NAMES
		set cmd $words[2]
	end
	mpbench help $cmd 2>/dev/null | string replace -rf '^  (-[^\s]*).*' '$1'
end
complete -c mpbench -a '(__mpbench_flags)'
`,
}

// runCompletion is mpbench completion: it prints a script for a shell.
func runCompletion(_ context.Context, args []string, stdout, stderr *os.File) int {
	flags := newFlags("completion", stderr, nil)
	if code, done := parseFlags(flags, args, 1, 1); done {
		return code
	}
	script, ok := completions[flags.Arg(0)]
	if !ok {
		fmt.Fprintf(stderr, "mpbench completion: no shell %q: bash, zsh or fish\n", flags.Arg(0))
		return exitUsage
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	script = strings.ReplaceAll(script, "BASH", completions["bash"])
	script = strings.ReplaceAll(script, "COMMANDS", strings.Join(names, "|"))
	script = strings.ReplaceAll(script, "NAMES", strings.Join(names, " "))
	if _, err := io.WriteString(stdout, script); err != nil {
		fmt.Fprintln(stderr, "mpbench completion:", err)
		return exitFailed
	}
	return 0
}
