// Log in: server, user, password, and the switch that shows what TLS is for.
import { useEffect, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { Proof } from './proof.js'
import { go, set, useStore } from './store.js'
import { t } from './text.js'
import { Button, html, Trouble, useBusy } from './ui.js'

export function Login() {
  const s = useStore()
  const first = s.profiles.find(p => p.name === s.profile) || s.profiles[0]
  const [name, setName] = useState(first?.name || '')
  const profile = s.profiles.find(p => p.name === name) || first
  const [user, setUser] = useState(first?.user || '')
  const [password, setPassword] = useState('')
  const secret = useRef()
  const [wrong, setWrong] = useState(false) // the server refused the password
  const [plain, setPlain] = useState(false)
  const [teach, setTeach] = useState(0)
  const [loading, setLoading] = useState(false)
  const [away, setAway] = useState(null)
  const [turn, setTurn] = useState(0)
  const { busy, problem, run, setProblem } = useBusy()
  const link = s.link && s.link.profile === profile?.name && s.link.plain === plain ? s.link : null

  useEffect(() => {
    if (!profile) return
    let late = false
    setLoading(true)
    setAway(null)
    setProblem(null)
    set({ link: null })
    post('connect', { profile: profile.name, plain }).then(a => {
      if (late) return
      set({ link: a.link })
      if (!plain) setTeach(a.link.teach)
    }, e => late || setAway(e)).finally(() => late || setLoading(false))
    return () => { late = true }
  }, [profile?.name, plain, turn])

  useEffect(() => secret.current?.focus(), [])
  useEffect(() => {
    if (!wrong || busy) return
    secret.current.focus()
    secret.current.select()
  }, [wrong, busy])

  if (!profile) return html`<div class="card"><h1>${t('gui.login.title')}</h1><p>${t('gui.login.none')}</p>
    <div class="buttons"><${Button} kind="primary" label=${t('gui.join.title')} onClick=${() => go('join')} /></div></div>`

  const choose = e => {
    if (e.target.value === '+') return go('join')
    const p = s.profiles.find(x => x.name === e.target.value)
    setName(p.name)
    setUser(p.user)
    setPlain(false)
    setPassword('') // it is of another server
  }
  const known = link?.logged_in && (!link.user || user === link.user)
  const submit = e => {
    e.preventDefault()
    run(async () => {
      setWrong(false)
      const a = await post('login', { profile: profile.name, user, password, plain }).catch(why => {
        setWrong(/password|credentials/.test(why.code))
        throw why
      })
      setPassword('')
      set({ link: a.link, entered: true, profile: profile.name })
      go('files')
    })
  }
  return html`<div class="card login"><h1>${t('gui.login.title')}</h1>
    <form onSubmit=${submit}>
      <label class="field"><span>${t('gui.login.server')}</span>
        <select value=${profile.name} onChange=${choose}>${s.profiles.map(p => html`<option value=${p.name} key=${p.name}>${p.address}${s.profiles.length > 1 ? ` (${p.name})` : ''}</option>`)}
          <option value="+">${t('gui.login.other')}</option></select></label>
      <label class="field"><span>${t('gui.login.user')}</span>
        <input id="login-user" value=${user} onInput=${e => setUser(e.target.value)} placeholder=${plain ? t('gui.login.pupil') : undefined} autocomplete=${plain ? 'off' : 'username'} required spellcheck="false" autocapitalize="none" /></label>
      <label class="field"><span>${t('gui.login.password')}</span>
        <input type="password" value=${password} ref=${secret} onInput=${e => {
          setPassword(e.target.value)
          setWrong(false)
        }} autocomplete=${plain ? 'off' : 'current-password'} required=${!known} aria-invalid=${wrong ? 'true' : undefined} autofocus /></label>
      <div class="switch-row"><button type="button" role="switch" class="switch" id="tls" aria-checked=${plain ? 'false' : 'true'} aria-labelledby="tls-label"
          aria-describedby="tls-hint" disabled=${!plain && !teach} onClick=${() => {
            setPlain(!plain)
            setUser(plain ? profile.user : '') // nobody's real name belongs into the teaching world
            setPassword('') // nor does a password that was typed for the other one
            setWrong(false)
          }}><span></span></button>
        <div><span id="tls-label">${t('gui.login.tls')}</span>
          <p class="hint" id="tls-hint">${plain ? t('gui.login.tls.off') : teach ? t('gui.login.tls.on') : t('gui.login.tls.only')}</p></div></div>
      ${plain && html`<div class="banner danger" role="alert"><strong>${t('gui.plain.title')}</strong> ${t('gui.plain.text')}</div>`}
      <${Trouble} problem=${problem} />
      <div class="buttons"><${Button} type="submit" kind=${plain ? 'danger-line' : 'primary'} disabled=${busy || loading || !link} label=${known && !password ? t('gui.login.continue') : t(plain ? 'gui.login.button.plain' : 'gui.login.button')} /></div>
      ${known && html`<p class="hint">${t('gui.login.known')}</p>`}
    </form>
    <div class="proven" aria-live="polite" aria-busy=${loading ? 'true' : 'false'}>
      ${away && html`<${Trouble} problem=${away}><div class="buttons"><${Button} icon="rotate-cw" label=${t('gui.retry')} onClick=${() => setTurn(turn + 1)} />
        <${Button} icon="info" label=${t('gui.login.explain')} onClick=${() => {
          set({ profile: profile.name })
          go('handshake')
        }} /></div></${Trouble}>`}
      ${(link || loading && !plain) && html`<h2>${t(plain ? 'gui.proof.title.plain' : 'gui.proof.title')}</h2><${Proof} link=${link} loading=${!link} address=${profile.address} />
        ${plain && html`<p>${t('gui.login.plain.reads', { address: profile.address.replace(/:\d+$/, ':' + teach) })}</p>`}`}
      ${loading && plain && html`<p class="hint">${t('gui.login.connecting', { address: profile.address })}</p>`}
    </div></div>`
}
