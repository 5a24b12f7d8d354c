package enrich

// Remembered tells how many user agents are remembered.
func Remembered(e *Enricher) int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.recent) + len(e.older)
}
