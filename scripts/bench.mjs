// npm run bench -- NAME [--json]: set-up, then one benchmark against its peer. --json: nothing else of ours on stdout.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup.mjs'

const root = path.resolve(import.meta.dirname, '..')
const args = process.argv.slice(2)
const json = args.includes('--json')
const say = json ? console.error : console.log
const [name] = args.filter((arg) => !arg.startsWith('--'))
const tools = await setupOrExit({ log: console.error })
const { BENCHMARKS } = await import(pathToFileURL(path.join(root, 'packages/bench/dist/index.js')).href)
const benchmark = Object.hasOwn(BENCHMARKS, name ?? '') ? BENCHMARKS[name] : undefined
if (benchmark === undefined) {
  const lines = Object.entries(BENCHMARKS).map(([each, { summary }]) => `  ${each.padEnd(12)} ${summary}`)
  console.error(`usage: npm run bench -- NAME [--json]\n${lines.join('\n')}`)
  process.exit(1)
}
const dataDir = path.resolve(process.env.SKERRY_DATA_DIR ?? path.join(root, '.skerry'))
console.log(JSON.stringify(await benchmark.run({ ...tools, dataDir, say })))
