package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kurz/internal/account"
	"kurz/internal/backend"
)

// withAccounts opens the data folder beside any server and calls fn with its
// users and keys.
func withAccounts(w *World, c *cobra.Command, fn func(context.Context, *account.Directory) error) error {
	s, err := settings(w, c)
	if err != nil {
		return err
	}
	data, err := backend.OpenData(c.Context(), &s.Settings)
	if err != nil {
		return err
	}
	err = fn(c.Context(), account.NewDirectory(data.Accounts, w.Now, w.Rand))
	return closing(data, err)
}

// user is a user as it is printed.
type user struct {
	ID         string    `json:"id"`
	Email      string    `json:"email"`
	Role       string    `json:"role"`
	Tier       string    `json:"tier"`
	CreatedAt  time.Time `json:"created_at"`
	DisabledAt time.Time `json:"disabled_at,omitzero"`
}

func showUser(u *account.User) user {
	return user{u.ID.String(), u.Email, string(u.Role), string(u.Tier), u.CreatedAt, u.DisabledAt}
}

func userCommand(w *World) *cobra.Command {
	return group("user", "Add, list and change users",
		userAdd(w), userList(w), userSet(w),
		userSwitch(w, "disable", "End a user's access: none of their keys works; links go on", func(u *account.User, now time.Time) {
			if u.DisabledAt.IsZero() {
				u.DisabledAt = now.UTC().Truncate(time.Millisecond)
			}
		}),
		userSwitch(w, "enable", "Give a disabled user access again", func(u *account.User, _ time.Time) { u.DisabledAt = time.Time{} }),
	)
}

func userAdd(w *World) *cobra.Command {
	var role, tier string
	c := addJSON(&cobra.Command{
		Use: "add EMAIL", Short: "Add a user", Args: cobra.ExactArgs(1),
		Example: "  kurz user add ada@example.org --role admin --tier premium",
		RunE: func(c *cobra.Command, args []string) error {
			return withAccounts(w, c, func(ctx context.Context, d *account.Directory) error {
				u, err := d.AddUser(ctx, args[0], account.Role(role), account.Tier(tier))
				if err != nil {
					return err
				}
				return printUser(w, c, &u)
			})
		},
	})
	c.Flags().StringVar(&role, "role", string(account.Member), "member, or admin: may manage what belongs to others")
	c.Flags().StringVar(&tier, "tier", string(account.Free), "free or premium")
	settingFlags(c, "DATA")
	return c
}

func printUser(w *World, c *cobra.Command, u *account.User) error {
	if wantsJSON(c) {
		return printJSON(w.Stdout, showUser(u))
	}
	_, err := fmt.Fprintln(w.Stdout, u.ID)
	return err
}

func userList(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "list", Short: "List the users", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withAccounts(w, c, func(ctx context.Context, d *account.Directory) error {
				users := []user{}
				rows := [][]string{{"ID", "EMAIL", "ROLE", "TIER", "CREATED", "DISABLED"}}
				for page := (account.Page{Limit: 500}); ; {
					list, next, err := d.Users(ctx, page)
					if err != nil {
						return err
					}
					for i := range list {
						u := showUser(&list[i])
						users = append(users, u)
						rows = append(rows, []string{u.ID, u.Email, u.Role, u.Tier, moment(u.CreatedAt), moment(u.DisabledAt)})
					}
					if page.After = next; next == "" {
						break
					}
				}
				if wantsJSON(c) {
					return printJSON(w.Stdout, users)
				}
				return table(w.Stdout, rows)
			})
		},
	})
	settingFlags(c, "DATA")
	return c
}

func userSet(w *World) *cobra.Command {
	var role, tier string
	c := addJSON(&cobra.Command{
		Use: "set EMAIL", Short: "Change a user's role or tier", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if role == "" && tier == "" {
				return usageError{fmt.Errorf("say what to change: --role or --tier"), c.CommandPath()}
			}
			return changeUser(w, c, args[0], func(u *account.User) error {
				var err error
				if role != "" {
					if u.Role, err = account.ParseRole(role); err != nil {
						return err
					}
				}
				if tier != "" {
					u.Tier, err = account.ParseTier(tier)
				}
				return err
			})
		},
	})
	c.Flags().StringVar(&role, "role", "", "member or admin")
	c.Flags().StringVar(&tier, "tier", "", "free or premium")
	settingFlags(c, "DATA")
	return c
}

func userSwitch(w *World, use, short string, change func(*account.User, time.Time)) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: use + " EMAIL", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return changeUser(w, c, args[0], func(u *account.User) error {
				change(u, w.Now())
				return nil
			})
		},
	})
	settingFlags(c, "DATA")
	return c
}

func changeUser(w *World, c *cobra.Command, email string, change func(*account.User) error) error {
	return withAccounts(w, c, func(ctx context.Context, d *account.Directory) error {
		u, err := d.UserByEmail(ctx, email)
		if err != nil {
			return err
		}
		if err := change(&u); err != nil {
			return err
		}
		if err := d.UpdateUser(ctx, u); err != nil {
			return err
		}
		return printUser(w, c, &u)
	})
}

// key is an API key as it is printed.
type key struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Key        string    `json:"key,omitempty"`
	Hint       string    `json:"hint"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

func showKey(k *account.Key, secret account.Secret) key {
	return key{string(k.ID), k.Name, secret.Reveal(), k.Hint, k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt}
}

func keyCommand(w *World) *cobra.Command {
	return group("key", "Make, list and revoke API keys", keyCreate(w), keyList(w), keyRevoke(w))
}

func keyCreate(w *World) *cobra.Command {
	var email, name string
	expires := momentFlag{now: w.Now}
	c := addJSON(&cobra.Command{
		Use: "create --user EMAIL --name NAME", Short: "Make an API key and print it",
		Long:    "Make an API key and print it, alone, on standard output. It is stored hashed and can't be shown again.",
		Example: "  KURZ_API_KEY=$(kurz key create --user ada@example.org --name laptop)",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withAccounts(w, c, func(ctx context.Context, d *account.Directory) error {
				u, err := d.UserByEmail(ctx, email)
				if err != nil {
					return err
				}
				k, secret, err := d.CreateKey(ctx, account.NewKey{User: u.ID, Name: name, ExpiresAt: expires.time})
				if err != nil {
					return err
				}
				if wantsJSON(c) {
					return printJSON(w.Stdout, showKey(&k, secret))
				}
				_, err = fmt.Fprintln(w.Stdout, secret.Reveal())
				return err
			})
		},
	})
	c.Flags().StringVar(&email, "user", "", "whose key it is")
	c.Flags().StringVar(&name, "name", "", "what it is for")
	c.Flags().Var(&expires, "expires", "when it ends: a date, a time, or a span such as 90d (default: never)")
	required(c, "user", "name")
	settingFlags(c, "DATA")
	return c
}

func keyList(w *World) *cobra.Command {
	var email string
	c := addJSON(&cobra.Command{
		Use: "list --user EMAIL", Short: "List a user's API keys", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withAccounts(w, c, func(ctx context.Context, d *account.Directory) error {
				u, err := d.UserByEmail(ctx, email)
				if err != nil {
					return err
				}
				keys := []key{}
				rows := [][]string{{"ID", "NAME", "KEY", "CREATED", "EXPIRES", "REVOKED", "LAST USED"}}
				for page := (account.Page{Limit: 500}); ; {
					list, next, err := d.KeysOf(ctx, u.ID, page)
					if err != nil {
						return err
					}
					for i := range list {
						k := showKey(&list[i], "")
						keys = append(keys, k)
						rows = append(rows, []string{k.ID, k.Name, k.Hint, moment(k.CreatedAt), moment(k.ExpiresAt), moment(k.RevokedAt), moment(k.LastUsedAt)})
					}
					if page.After = next; next == "" {
						break
					}
				}
				if wantsJSON(c) {
					return printJSON(w.Stdout, keys)
				}
				return table(w.Stdout, rows)
			})
		},
	})
	c.Flags().StringVar(&email, "user", "", "whose keys")
	required(c, "user")
	settingFlags(c, "DATA")
	return c
}

func keyRevoke(w *World) *cobra.Command {
	c := &cobra.Command{
		Use: "revoke ID", Short: "End an API key", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withAccounts(w, c, func(ctx context.Context, d *account.Directory) error {
				return d.RevokeKey(ctx, account.Operator(), account.KeyID(args[0]))
			})
		},
	}
	settingFlags(c, "DATA")
	return c
}

// required makes flags needed; leaving one out is a usage error.
func required(c *cobra.Command, names ...string) {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		for _, name := range names {
			if f := c.Flags().Lookup(name); f == nil || !f.Changed {
				return fmt.Errorf("--%s is missing", name)
			}
		}
		return check(c, args)
	}
}
