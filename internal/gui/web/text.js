// Sentences, numbers and times in the language of the page.

let texts = {}
let language = localStorage.getItem('hufu-lang') || ''

export const lang = () => language

export function use(next, catalogue) {
  language = next
  texts = catalogue
  document.documentElement.lang = next
}

export const remember = next => localStorage.setItem('hufu-lang', next)

// Without a session there are no texts but those that come with an answer.
export const known = key => key in texts

// t is the text under key with its placeholders filled.
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '?')
}

// n is t for a counted thing.
export const n = (key, count, values) => t(key + (count === 1 && language === 'en' ? '.one' : '.other'), { n: count, ...values })

// list joins words as the language does.
export const list = words => words.join(language === 'zh-CN' ? '、' : ', ')

export function size(bytes) {
  if (bytes < 1024) return bytes + ' B'
  let unit = -1
  while (bytes >= 1023.95 && unit < 5) {
    bytes /= 1024
    unit++
  }
  return bytes.toFixed(1) + ' ' + 'KMGTPE'[unit] + 'iB'
}

export const rate = bytes => t('gui.unit.rate', { size: size(Math.round(bytes)) })

export function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds))
  if (seconds < 60) return t('gui.unit.seconds', { s: seconds })
  if (seconds < 3600) return t('gui.unit.minutes', { m: Math.floor(seconds / 60), s: seconds % 60 })
  return t('gui.unit.hours', { h: Math.floor(seconds / 3600), m: Math.floor(seconds % 3600 / 60) })
}

const two = v => String(v).padStart(2, '0')

export function time(ms, seconds = false) {
  if (!ms) return '–'
  const d = new Date(ms)
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}${seconds ? ':' + two(d.getSeconds()) : ''}`
}

export const percent = (done, total) => (total > 0 ? Math.min(100, Math.floor(100 * done / total)) : 0) + '%'
