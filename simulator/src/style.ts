// The only stylesheet of the simulator's pages. It has no external assets, and supports light and dark mode.
export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: #1d2330; --paper: #fff; --soft: #f1f3f7; --line: #d5dae3; --accent: #1f4fa3; --on-accent: #fff;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaf1; --paper: #14171d; --soft: #1f242d; --line: #394150; --accent: #8db4ff; --on-accent: #10141b }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--soft); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
header {
  display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; justify-content: space-between;
  padding: .7rem 1.25rem; background: var(--accent); color: var(--on-accent);
}
header p { margin: 0 }
.place { font-weight: 650 }
.mark { font-size: .875rem }
main {
  max-width: 62rem; margin: 1.5rem auto; padding: 1.25rem 1.5rem 1.75rem;
  background: var(--paper); border: 1px solid var(--line); border-radius: .6rem;
}
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25 }
h2 { margin: 1.75rem 0 .5rem; font-size: 1.15rem }
a { color: var(--accent) }
a:focus-visible, button:focus-visible, input:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 1rem 0 }
dt { font-weight: 600 }
dd { margin: 0; overflow-wrap: anywhere }
.scroll { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-size: .925rem }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
tbody th { font-weight: 400 }
time, th code { white-space: nowrap }
.actions { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.25rem 0 0; border: 0; padding: 0 }
.actions legend { margin-bottom: .5rem; font-weight: 600; padding: 0 }
button {
  padding: .6rem 1rem; border: 1px solid var(--accent); border-radius: .4rem;
  background: var(--paper); color: var(--accent); font: inherit; cursor: pointer;
}
button.main { background: var(--accent); color: var(--on-accent) }
input[type=text] {
  padding: .55rem; font: inherit; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--paper); color: var(--ink);
}
pre {
  padding: 1rem; background: var(--soft); border-radius: .4rem; font-size: .925rem;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
code { font-size: .925em; overflow-wrap: anywhere }
iframe { width: 100%; height: 30rem; border: 1px solid var(--line); border-radius: .4rem; background: #fff }
`
