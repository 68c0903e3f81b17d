package disk

// OldKernel makes the store do without everything newer than Linux 5.0.
func (s *Store) OldKernel() {
	s.k.noOpenat2.Store(true)
	s.k.noEmptyLink.Store(true)
	s.k.noGetxattrat.Store(true)
	s.has.fineTime = false
	s.has.syncfs = false
}
