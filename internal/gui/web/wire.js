// Wire: what an eavesdropper reads, without TLS and with it.
import { useState } from './vendor/hooks.js'
import { post } from './api.js'
import { ChooseFile } from './dialogs.js'
import { written } from './places.js'
import { Security } from './security.js'
import { state, useStore, visit } from './store.js'
import { list, t } from './text.js'
import { Button, html, Icon, Trouble, useBusy } from './ui.js'

const Dump = ({ scene }) => html`<figure class="dump"><figcaption>${scene.heading}</figcaption>
  <div class="bytes" tabindex="0" role="group" aria-label=${scene.heading}>${scene.rows.map(r => html`<div class="dump-row">
    <span class="offset">${r.offset.toString(16).padStart(6, '0')}</span>
    <span class="hex" aria-hidden="true">${r.cells.map(c => html`<span class=${c.hit ? 'hit' : ''}>${c.hex}</span>`)}</span>
    <span class="chars">${r.cells.map(c => c.hit ? html`<mark>${c.char}</mark>` : c.char)}</span></div>`)}</div></figure>`

const Table = ({ caption, heads, rows }) => html`<div class="scroll" tabindex="0" role="group" aria-label=${caption}><table><caption>${caption}</caption>
  <thead><tr>${heads.map(h => html`<th scope="col">${h}</th>`)}</tr></thead><tbody>${rows.map(r => html`<tr>${r.map((c, i) => i === 0 ? html`<th scope="row">${c}</th>` : html`<td>${c}</td>`)}</tr>`)}</tbody></table></div>`

const tone = (text, bad, good) => bad ? html`<span class="tone bad"><${Icon} name="lock-open" />${text}</span>` : good ? html`<span class="tone good"><${Icon} name="lock" />${text}</span>` : text

function Result({ of: a }) {
  const w = a.words
  const show = () => {
    visit('local', a.path)
  }
  return html`<section aria-labelledby="wire-verdict" class="result">
    <h2 id="wire-verdict" class=${w.proven ? 'verdict good' : 'verdict bad'} role="status"><${Icon} name=${w.proven ? 'check' : 'x'} />${w.verdict}</h2>
    <p>${w.intro} ${t('gui.wire.used', { user: a.user, password: a.password })}</p>
    <${Table} caption=${t('gui.wire.compare')} heads=${w.heads} rows=${w.lines.map(l => [l.what, tone(l.plain, l.bad, false), tone(l.tls, false, l.good)])} />
    <div class="sides"><div><h3><${Icon} name="lock-open" />${w.heads[1]}</h3>${w.plain.map(s => html`<${Dump} scene=${s} />`)}</div>
      <div><h3><${Icon} name="lock" />${w.heads[2]}</h3>${w.sealed.map(s => html`<${Dump} scene=${s} />`)}</div></div>
    ${w.attempt?.length > 0 && html`<h2>${t('gui.wire.mitm')}</h2>${w.attempt.map(x => html`<p>${x}</p>`)}`}
    <h2>${t('gui.wire.handshake')}</h2><p>${w.handshake}</p>
    <${Table} caption=${t('gui.wire.facts')} heads=${[t('gui.wire.what'), t('gui.wire.value')]} rows=${(w.facts || []).map(f => [f.what, f.value])} />
    <${Table} caption=${t('gui.wire.records')} heads=${[t('gui.wire.packets'), t('gui.wire.way'), t('gui.wire.what')]} rows=${(w.flights || []).map(f => [f.what, f.way, f.value])} />
    <h2>Wireshark</h2>
    <${Table} caption=${t('gui.wire.filters')} heads=${[t('gui.wire.shows'), t('gui.wire.filter')]} rows=${(w.filters || []).map(f => [f.what, html`<code>${f.value}</code>`])} />
    <p>${t('gui.wire.files', { dir: a.dir, files: list(a.files) })} <${Button} icon="folder" label=${t('gui.wire.show')} onClick=${show} /></p>
    <ul class="hint">${w.notes.map(x => html`<li>${x}</li>`)}</ul></section>`
}

export function Wire() {
  const s = useStore()
  const [secrets, setSecrets] = useState(false)
  const [mitm, setMitm] = useState(true)
  const [file, setFile] = useState('')
  const [choosing, setChoosing] = useState(false)
  const [result, setResult] = useState(null)
  const { busy, problem, run } = useBusy()
  const submit = e => {
    e.preventDefault()
    setResult(null)
    run(async () => setResult(await post('wire', { profile: s.link?.profile || state.profile, file, secrets, mitm })))
  }
  const why = s.link && !s.link.plain && !s.link.teach ? t('gui.why.teach') : ''
  return html`<div class="page"><${Security} /><h1>${t('gui.wire.title')}</h1><p>${t('gui.wire.text')}</p>
    ${why && html`<p class="verdict" role="status"><${Icon} name="info" />${why}</p>`}
    <form class="options" onSubmit=${submit}>
      <div class="beside"><label class="field"><span>${t('gui.wire.file')}</span><input value=${file} onInput=${e => setFile(e.target.value)} spellcheck="false" autocomplete="off" aria-describedby="wire-file" /></label>
        <${Button} icon="folder-open" label=${t('gui.wire.choose')} onClick=${() => setChoosing(true)} /></div>
      <p class="hint" id="wire-file">${t('gui.wire.file.hint')}</p>
      <label class="check"><input type="checkbox" checked=${mitm} onChange=${e => setMitm(e.target.checked)} />${t('gui.wire.mitm.too')}</label>
      <label class="check"><input type="checkbox" checked=${secrets} onChange=${e => setSecrets(e.target.checked)} />${t('gui.wire.secrets')}</label>
      <div class="buttons"><${Button} type=${why ? 'button' : 'submit'} kind="primary" disabled=${busy} why=${why} label=${busy ? t('gui.wire.running') : t('gui.wire.button')} /></div>
      <p class="hint">${t('gui.wire.saved', { folder: t('gui.files.home') + ' › hufu-wire' })}</p></form>
    <${Trouble} problem=${problem} />
    ${choosing && html`<${ChooseFile} onClose=${() => setChoosing(false)} onYes=${path => {
      setFile(written('local', path))
      setChoosing(false)
    }} />`}
    ${result && html`<${Result} of=${result} />`}</div>`
}
