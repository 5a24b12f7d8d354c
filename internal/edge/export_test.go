package edge

// Conns gives how many connections are open.
func (e *Edge) Conns() int {
	e.lanes.mu.Lock()
	defer e.lanes.mu.Unlock()
	return e.lanes.conns
}
