package link

// LoadInBatchesOf has a load write after so many events: tests have few.
func (s *Service) LoadInBatchesOf(n int) { s.handler.window.loadBatch = n }
