package api

import (
	"context"
	"net/http"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/idempotency"
	"kurz/internal/link"
)

// form is one way to ask for a link and to show what came of it.
type form struct {
	parse func(body []byte) (link.Creation, error)
	show  func(ctx context.Context, l link.Link, created bool) any
	// fault, unless nil, tells the Registry's fault in the form's own words.
	fault func(err error) error
}

func (a *API) createLink(c *call) error {
	return a.create(c, form{parse: parseCreate, show: func(ctx context.Context, l link.Link, created bool) any {
		if created {
			return a.show(&l, new(int64)) // nobody can have clicked it
		}
		return a.showOne(ctx, l)
	}})
}

// create is what all creates have in common: limit, body, idempotency,
// Registry, answer.
func (a *API) create(c *call, f form) error {
	if err := a.count(c); err != nil {
		return a.again(c, err)
	}
	body, err := c.readBody(typeJSON)
	if err != nil {
		return err
	}
	return a.once(c, body, func(ctx context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		creation, err := f.parse(body)
		if err != nil {
			return idempotency.Answer{}, err
		}
		creation.Operation = link.Operation(op)
		l, outcome, err := a.Registry.Create(ctx, c.actor, creation)
		if err != nil && f.fault != nil {
			err = f.fault(err)
		}
		if err != nil {
			return idempotency.Answer{}, err
		}
		header := linkHeader(&l)
		header["Location"] = a.location(l.Key)
		status := http.StatusCreated
		if outcome == link.Found {
			status = ok
		}
		return answer(status, f.show(ctx, l, outcome == link.Inserted), header)
	})
}

func (a *API) getLink(c *call) error {
	key, err := a.key(c)
	if err != nil {
		return err
	}
	l, err := a.Registry.Get(c.ctx(), c.actor, key)
	if err != nil {
		return err
	}
	return c.reply(a.showOne(c.ctx(), l), linkHeader(&l))
}

func (a *API) patchLink(c *call) error {
	key, err := a.key(c)
	if err != nil {
		return err
	}
	version, err := a.guard(c, key)
	if err != nil {
		return err
	}
	body, err := c.readBody(typeJSON, typeMerge)
	if err != nil {
		return err
	}
	patch, err := parsePatch(body)
	if err != nil {
		return err
	}
	l, err := a.Registry.Update(c.ctx(), c.actor, key, patch, version)
	if err != nil {
		return err
	}
	return c.reply(a.showOne(c.ctx(), l), linkHeader(&l))
}

func (a *API) deleteLink(c *call) error {
	key, err := a.key(c)
	if err != nil {
		return err
	}
	if _, err := a.guard(c, key); err != nil {
		return err
	}
	if err := a.Registry.Revoke(c.ctx(), c.actor, key); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

// guard judges If-Match and gives the version that the change is to replace; 0
// is any. Who may not read the link learns nothing of its version.
func (a *API) guard(c *call, key link.Key) (int64, error) {
	only, err := parseCondition(c.r.Header, "If-Match")
	if err != nil || !only.sent || only.any {
		return 0, err
	}
	l, err := a.Registry.Get(c.ctx(), c.actor, key)
	if err != nil {
		return 0, err
	}
	if !only.matches(l.Version) {
		return 0, changedMeanwhile()
	}
	return l.Version, nil
}

// key names the link of a path with {code}.
func (a *API) key(c *call) (link.Key, error) {
	domain, err := a.Domains.Named(c.query.text("domain"))
	if err != nil {
		return link.Key{}, err
	}
	code, err := link.ParseCode(c.segment)
	return link.Key{Domain: domain, Code: code}, err
}

func (a *API) listLinks(c *call) error {
	q, err := a.listing(c)
	if err != nil {
		return err
	}
	links, next, err := a.Registry.Page(c.ctx(), c.actor, q)
	if err != nil {
		return err
	}
	return c.reply(newList(a.showAll(c.ctx(), links), next.String()), nil)
}

// listing reads the parameters of a listing, and tells all that is wrong with
// them at once.
func (a *API) listing(c *call) (link.Query, error) {
	q := link.Query{Now: a.Now()}
	var errs [9]error
	q.Text, errs[0] = c.query.bounded("q", 256)
	q.Tag, errs[1] = c.query.bounded("tag", 64)
	q.Status, errs[2] = oneOf(c.query, "status", "", link.Scheduled, link.Active, link.Expired, link.Revoked)
	if c.query.has("status") && q.Status == "" && errs[2] == nil {
		errs[2] = fault.Invalid("status", "is empty")
	}
	q.Archived, errs[8] = archived(c)
	q.Limit, errs[3] = c.query.limit()
	q.Owner, errs[4] = owner(c)
	if c.query.has("domain") {
		var domain link.Domain
		domain, errs[5] = a.Domains.Named(c.query.text("domain"))
		q.Domain = &domain
	}
	if q.Sort, errs[6] = link.ParseSort(c.query.text("sort")); errs[6] == nil {
		q.After, errs[7] = link.ParseCursor(c.query.text("cursor"), q.Sort)
	}
	return q, gather(errs[:]...)
}

// archived gives what is asked for of archived links: to leave them out, unless
// something else is said.
func archived(c *call) (link.Archived, error) {
	switch choice, err := oneOf(c.query, "archived", "false", "true", "any"); choice {
	case "true":
		return link.OnlyArchived, err
	case "any":
		return link.AlsoArchived, err
	default:
		return link.LeaveArchived, err
	}
}

// owner gives whose links are meant: the caller's; for an admin everybody's
// (0), or those of the user named.
func owner(c *call) (account.ID, error) {
	if !c.query.has("owner") {
		if c.actor.IsAdmin() {
			return 0, nil
		}
		return c.actor.User, nil
	}
	id, err := account.ParseID(c.query.text("owner"))
	if err != nil || id == 0 {
		return 0, fault.Invalid("owner", "must be the ID of a user, such as usr_…")
	}
	if !c.actor.IsAdmin() && id != c.actor.User {
		return 0, fault.New(fault.Forbidden, "Only an admin may ask about the links of others")
	}
	return id, nil
}
