// Join: an invitation becomes a certificate of this computer.
import { useEffect, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { go, set, state, useStore } from './store.js'
import { t } from './text.js'
import { Button, html, Rows, Trouble, useBusy } from './ui.js'

const grouped = hex => hex.replace(/(.{4})/g, '$1 ').trim()

export function Join() {
  const s = useStore()
  const [code, setCode] = useState('')
  const [seen, setSeen] = useState(null)
  const [bad, setBad] = useState(null)
  const [password, setPassword] = useState('')
  const [again, setAgain] = useState('')
  const taken = s.profiles.map(p => p.name)
  const [profile, setProfile] = useState('')
  const { busy, problem, run } = useBusy()
  useEffect(() => {
    setSeen(null)
    setBad(null)
    if (code.trim() === '') return
    let late = false
    post('invitation', { code }).then(x => late || setSeen(x), e => late || setBad(e))
    return () => { late = true }
  }, [code])
  const name = profile || (taken.includes(s.profile) ? '' : s.profile) || 'default'
  const differs = again !== '' && again !== password
  const submit = e => {
    e.preventDefault()
    run(async () => {
      const a = await post('join', { code, password, profile: name })
      const { home, profiles } = { home: state.home, profiles: [...state.profiles.filter(p => p.name !== a.profile.name), a.profile] }
      set({ profiles, profile: a.profile.name, home })
      if (a.error) return go('login')
      const l = await post('login', { profile: a.profile.name, user: a.profile.user, password: '', plain: false })
      set({ link: l.link, entered: true })
      go('files')
    })
  }
  return html`<div class="card"><h1>${t('gui.join.title')}</h1><p>${t('gui.join.text')}</p>
    <form onSubmit=${submit}>
      <label class="field"><span>${t('gui.join.code')}</span>
        <textarea rows="3" value=${code} onInput=${e => setCode(e.target.value)} spellcheck="false" autocomplete="off" autofocus required
          aria-invalid=${bad ? 'true' : undefined} aria-describedby="join-server"></textarea></label>
      <div id="join-server" aria-live="polite">
        ${bad && html`<p class="hint bad">${bad.what}</p>`}
        ${seen && html`<${Rows} of=${[[t('gui.join.server'), html`<bdi>${seen.host}:${seen.port}</bdi>`],
          [t('gui.join.words'), html`<span class="words">${seen.words}</span>`], [t('gui.join.fingerprint'), html`<code>${grouped(seen.fingerprint)}</code>`]]} />
          <p class="hint">${t('gui.join.compare')}</p>`}
      </div>
      <label class="field"><span>${t('gui.join.password')}</span>
        <input type="password" value=${password} onInput=${e => setPassword(e.target.value)} autocomplete="new-password" required aria-describedby="join-short" /></label>
      <p class="hint" id="join-short">${password !== '' && [...password].length < 8 ? t('gui.join.short') : t('gui.join.password.hint')}</p>
      <label class="field"><span>${t('gui.join.again')}</span>
        <input type="password" value=${again} onInput=${e => setAgain(e.target.value)} autocomplete="new-password" required
          aria-invalid=${differs ? 'true' : undefined} aria-describedby="join-again" /></label>
      <p class="hint bad" id="join-again" role="status">${differs ? t('gui.join.differs') : ''}</p>
      ${taken.length > 0 && html`<label class="field"><span>${t('gui.join.profile')}</span>
        <input value=${profile} placeholder=${name} onInput=${e => setProfile(e.target.value)} pattern="[A-Za-z0-9_][A-Za-z0-9._\\-]{1,31}" required spellcheck="false" /></label>`}
      <${Trouble} problem=${problem} />
      <div class="buttons">${taken.length > 0 && html`<${Button} label=${t('gui.back')} onClick=${() => go('login')} />`}
        <${Button} type="submit" kind="primary" label=${t('gui.join.button')} disabled=${busy || !seen || differs || !password || again !== password} /></div>
    </form></div>`
}
