package api

import (
	"context"
	"math/big"
	"net/http"
	"time"

	"kurz/internal/account"
	"kurz/internal/idempotency"
)

// meJSON is the caller: the Me schema.
type meJSON struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Role  string `json:"role"`
	Tier  string `json:"tier"`
	KeyID string `json:"key_id"`
}

func (a *API) me(c *call) error {
	return c.reply(meJSON{
		ID: c.actor.User.String(), Email: c.actor.Email,
		Role: string(c.actor.Role), Tier: string(c.actor.Tier), KeyID: string(c.actor.Key),
	}, nil)
}

// keyJSON is an API key without its secret: the Key schema.
type keyJSON struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Hint       string  `json:"hint"`
	CreatedAt  string  `json:"created_at"`
	ExpiresAt  *string `json:"expires_at"`
	RevokedAt  *string `json:"revoked_at"`
	LastUsedAt *string `json:"last_used_at"`
}

// newKeyJSON is a key with its secret, shown once: the NewKey schema.
type newKeyJSON struct {
	keyJSON
	Key string `json:"key"`
}

func showKey(k *account.Key) keyJSON {
	return keyJSON{
		ID: string(k.ID), Name: k.Name, Hint: k.Hint,
		CreatedAt: moment(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt),
		RevokedAt: stamp(k.RevokedAt), LastUsedAt: stamp(k.LastUsedAt),
	}
}

func (a *API) listKeys(c *call) error {
	limit, limitErr := c.query.limit()
	after, afterErr := c.query.bounded("cursor", 128)
	if err := gather(limitErr, afterErr); err != nil {
		return err
	}
	keys, next, err := a.Directory.Keys(c.ctx(), c.actor, account.Page{Limit: limit, After: after})
	if err != nil {
		return err
	}
	shown := make([]keyJSON, len(keys))
	for i := range keys {
		shown[i] = showKey(&keys[i])
	}
	return c.reply(newList(shown, next), nil)
}

// keyBody is what POST /api/v1/keys takes: the KeyCreate schema.
type keyBody struct {
	Name      opt[string]    `json:"name"`
	ExpiresAt opt[time.Time] `json:"expires_at"`
}

func (a *API) createKey(c *call) error {
	body, err := c.readBody(typeJSON)
	if err != nil {
		return err
	}
	return a.once(c, body, func(ctx context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		n, err := parseKey(body, c.actor)
		if err != nil {
			return idempotency.Answer{}, err
		}
		n.ID = keyID(op)
		k, secret, err := a.Directory.CreateKey(ctx, n)
		if err != nil {
			return idempotency.Answer{}, err
		}
		return answer(http.StatusCreated, newKeyJSON{showKey(&k), secret.Reveal()}, nil)
	})
}

func parseKey(body []byte, actor account.Actor) (account.NewKey, error) {
	var b keyBody
	if err := decode(body, &b, nil); err != nil {
		return account.NewKey{}, err
	}
	return account.NewKey{User: actor.User, Name: b.Name.value, ExpiresAt: b.ExpiresAt.value}, needed("name", b.Name)
}

// keyID gives the key that an operation makes a name of its own, so that a
// retry after a crash makes no second key; "" where there is no operation.
func keyID(op idempotency.Operation) account.KeyID {
	if op == (idempotency.Operation{}) {
		return ""
	}
	return account.KeyID("key_" + new(big.Int).SetBytes(op[:]).Text(62))
}

func (a *API) revokeKey(c *call) error {
	if err := a.Directory.RevokeKey(c.ctx(), c.actor, account.KeyID(c.segment)); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
