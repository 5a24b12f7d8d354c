package link

import (
	"context"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Reach reads a link that leads somewhere now, for anyone; for who may manage
// it also one that does not lead anywhere yet. The faults are those that a
// visitor gets: URLNotFound, URLExpired, URLRevoked, URLBlocked.
func (r *Registry) Reach(ctx context.Context, a account.Actor, k Key) (Link, error) {
	l, err := r.s.Store.Get(ctx, k)
	if err != nil {
		return Link{}, err
	}
	now := r.now()
	route := l.Route()
	verdict, target := route.Decide(now)
	switch verdict {
	case Redirect, RedirectExpired:
	case Gone:
		return Link{}, fault.New(fault.URLExpired, "Short code '%s' has expired", k.Code)
	case TakenDown:
		return Link{}, fault.New(fault.URLRevoked, "Short code '%s' was taken down", k.Code)
	default:
		if l.Status(now) != Scheduled || a.MayManage(l.Owner) != nil {
			return Link{}, fault.New(fault.URLNotFound, "Short code '%s' not found", k.Code)
		}
		target = l.Destination
	}
	if r.s.Policy.Blocklist.Blocks(target.Host()) {
		return Link{}, fault.New(fault.URLBlocked, "The destination of short code '%s' is blocked", k.Code)
	}
	return l, nil
}

// ScanURL gives the address that a link's QR code has: that of the link, with
// what tells its clicks from others (click.ByQR).
func (d *Domains) ScanURL(k Key) string { return d.ShortURL(k) + "?qr=1" }
