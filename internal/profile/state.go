package profile

import (
	"encoding/json"
	"os"

	"hufu"
)

// Kept reads the file name of the profile's state.
func (p *Profile) Kept(name string) ([]byte, error) { return os.ReadFile(p.stateFile(name)) }

// Keep writes the file name of the profile's state, whole and durably.
func (p *Profile) Keep(name string, data []byte) error { return writeFile(p.stateFile(name), data) }

// Token returns the login that was kept, nil if there is none.
func (p *Profile) Token() []byte {
	data, err := p.Kept("token")
	if err != nil {
		return nil
	}
	return data
}

// SetToken keeps a login, or forgets it if token is nil. A login that cannot be
// kept is forgotten.
func (p *Profile) SetToken(token []byte) error {
	if token == nil {
		return removeFile("forget login", p.stateFile("token"))
	}
	err := p.Keep("token", token)
	if err != nil {
		_ = removeFile("forget login", p.stateFile("token")) // the failed write may already have put the login in place
	}
	return err
}

// TeachLogin is a login to the teaching world. It is kept apart from the real
// one.
type TeachLogin struct {
	User  string `json:"user"`
	Token []byte `json:"token"`
}

const teachFile = "teach.json"

// TeachLogin returns the teaching login that was kept. It is the zero value if
// there is none, or none that can be read.
func (p *Profile) TeachLogin() TeachLogin {
	var l TeachLogin
	if data, err := p.Kept(teachFile); err != nil || json.Unmarshal(data, &l) != nil {
		return TeachLogin{}
	}
	return l
}

// SetTeachLogin keeps a teaching login, or forgets it if it has no token.
func (p *Profile) SetTeachLogin(l TeachLogin) error {
	if l.Token == nil {
		return removeFile("forget login", p.stateFile(teachFile))
	}
	data, err := json.Marshal(l)
	if err != nil {
		return &hufu.Error{Op: "keep login", Kind: hufu.KindInternal, Err: err}
	}
	return p.Keep(teachFile, data)
}
