// The sheet of keys, opened from the settings, or by "?" from anywhere but a field.
import { useEffect } from './vendor/hooks.js'
import { set, useStore } from './store.js'
import { t } from './text.js'
import { Button, Dialog, html } from './ui.js'

const rows = () => [
  ['↑ ↓ Home End', t('gui.keys.move')], ['Space', t('gui.keys.toggle')], ['Shift ↑ ↓', t('gui.keys.range')], ['Ctrl A', t('gui.keys.all')], ['A–Z', t('gui.keys.seek')],
  ['Enter', t('gui.keys.open')], ['← →', t('gui.keys.preview')], ['Alt Enter', t('gui.properties')], ['Backspace', t('gui.keys.up')], ['Ctrl L', t('gui.keys.path')], ['F5', t('gui.keys.copy')], ['F2', t('gui.keys.rename')],
  ['Del', t('gui.keys.remove')], ['Shift F10', t('gui.keys.menu')], ['Esc', t('gui.keys.clear')], ['Alt ← →', t('gui.keys.back')], ['?', t('gui.keys.title')],
]

export function Keys() {
  const { keys } = useStore()
  const open = on => set({ keys: on })
  useEffect(() => {
    const key = e => {
      if (e.key === '?' && !e.target.closest('input:not([type=checkbox], [type=radio]), textarea, select') && !document.querySelector('dialog[open]')) open(true)
    }
    window.addEventListener('keydown', key)
    return () => window.removeEventListener('keydown', key)
  }, [])
  return keys && html`<${Dialog} title=${t('gui.keys.title')} onClose=${() => open(false)}>
    <dl class="keys">${rows().map(([k, what]) => html`<dt><kbd>${k}</kbd></dt><dd>${what}</dd>`)}</dl>
    <div class="buttons"><${Button} kind="primary" label=${t('gui.close')} onClick=${() => open(false)} autofocus /></div></${Dialog}>`
}
