package click

import (
	"sync"
	"sync/atomic"
)

// Recorder notes visits in a Log before they are answered. It is safe for
// concurrent use.
type Recorder struct {
	s        RecorderSettings
	buffers  sync.Pool
	recorded atomic.Uint64
	lost     atomic.Uint64
}

// RecorderSettings are what a Recorder works with. Log, Locator and Hasher are
// needed.
type RecorderSettings struct {
	Log     Log
	Locator Locator
	Hasher  Hasher
	// Enricher tells the kind of visits whose headers are not kept; without
	// it they are taken for people's, but for HEAD requests.
	Enricher Enricher
	// Lost, unless nil, is called for each click that could not be noted.
	Lost func(err error)
}

// NewRecorder makes a Recorder.
func NewRecorder(s RecorderSettings) *Recorder {
	return &Recorder{s: s, buffers: sync.Pool{New: func() any { return new([recordRoom]byte) }}}
}

// Record notes a visit, as safely as the Log does. It does not allocate, but
// for an untracked visit, and blocks only as the Log does. An error means that
// the click is lost, which was counted: the redirect is to go on. Nothing
// keeps v, nor its address, after Record returns.
func (r *Recorder) Record(v *Visit) error {
	var place Place
	var visitor uint64
	var kind Kind
	if v.Untracked {
		kind = r.kindOf(v)
	} else {
		place = r.s.Locator.Locate(v.Client)
		visitor = v.Known.hash(r.s.Hasher, v)
	}
	buf := r.buffers.Get().(*[recordRoom]byte)
	_, err := r.s.Log.Append(AppendVisit(buf[:0], v, place, visitor, kind))
	r.buffers.Put(buf)
	if err != nil {
		r.lost.Add(1)
		if r.s.Lost != nil {
			r.s.Lost(err)
		}
		return err
	}
	r.recorded.Add(1)
	return nil
}

func (r *Recorder) kindOf(v *Visit) Kind {
	switch {
	case v.Head:
		return Head
	case r.s.Enricher == nil:
		return Human
	}
	return r.s.Enricher.Enrich(Headers{UserAgent: v.UserAgent, Purpose: v.Purpose}).Kind
}

// RecorderStats counts what a Recorder did.
type RecorderStats struct {
	Recorded uint64
	Lost     uint64
}

// Stats gives the counts since the Recorder was made.
func (r *Recorder) Stats() RecorderStats {
	return RecorderStats{Recorded: r.recorded.Load(), Lost: r.lost.Load()}
}
