package config

import (
	"fmt"
	"strings"
)

//go:generate go test -run TestReference . -update

// Reference gives the reference page, docs/configuration.md, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Generated from internal/config/settings.go by 'go generate ./internal/config'. -->

A setting is taken from the strongest of these that has it:

1. a flag: ` + "`kurz serve --listen :9000`" + ` (the name without ` + "`KURZ_`" + `, in lower case, with dashes; secrets have none, since flags show in process lists),
2. the environment: ` + "`KURZ_LISTEN=:9000`" + `,
3. the settings file that ` + "`--config`" + ` or ` + "`KURZ_CONFIG`" + ` names,
4. the default.

An empty value counts as none given. A name that is not a setting, a value that can't be read and settings that contradict each other stop the start; all of them are named at once. ` + "`kurz config`" + ` prints what is in force and where it comes from, ` + "`kurz doctor`" + ` checks it.

**Secrets** (marked below) are never printed, and can be read from a file: ` + "`KURZ_VISITOR_KEY_FILE=/run/secrets/visitor_key`" + `. One line break at the end of the file is dropped.

**The settings file** holds lines of ` + "`KURZ_NAME=value`" + `, empty lines, and comments on lines of their own that begin with ` + "`#`" + `. A value in single quotes is taken as it is; in double quotes ` + "`\\\\`, `\\\"`, `\\n` and `\\t`" + ` are escapes. systemd's ` + "`EnvironmentFile=`" + ` and Docker's ` + "`env_file:`" + ` read the same lines.
`)
	group := ""
	for _, f := range Fields() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| setting | default | |\n|---|---|---|\n", group)
		}
		value := ""
		if f.Default != "" {
			value = "`" + f.Default + "`"
		}
		doc := strings.ReplaceAll(f.Doc, "|", `\|`)
		if f.Secret {
			doc += " **Secret.**"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, value, doc)
	}
	return b.String()
}
