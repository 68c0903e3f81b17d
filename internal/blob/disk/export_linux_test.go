package disk

// OldKernel makes the store do without everything newer than Linux 5.0.
func (s *Store) OldKernel() {
	s.k.NoOpenat2.Store(true)
	s.k.NoEmptyLink.Store(true)
	s.k.NoGetxattrat.Store(true)
	s.has.FineTime = false
	s.has.Syncfs = false
}
