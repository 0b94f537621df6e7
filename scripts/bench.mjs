// npm run bench -- NAME [--devices N,N,...] [--json]: set-up, then one benchmark against its peer. --devices: sizes of the
// fleet, for those that compare some; `none` leaves that part out. --json: nothing else of ours on stdout.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { setupOrExit } from './setup.mjs'

const root = path.resolve(import.meta.dirname, '..')
const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false }, devices: { type: 'string' } },
  allowPositionals: true
})
const say = values.json ? console.error : console.log
const [name] = positionals
const sizes = values.devices === 'none' ? [] : values.devices?.split(',').map(Number)
if (sizes?.some((size) => !Number.isInteger(size) || size < 1)) {
  console.error('--devices takes whole numbers from 1, parted by commas, or none')
  process.exit(1)
}
const tools = await setupOrExit({ log: console.error })
const { BENCHMARKS } = await import(pathToFileURL(path.join(root, 'packages/bench/dist/index.js')).href)
const benchmark = Object.hasOwn(BENCHMARKS, name ?? '') ? BENCHMARKS[name] : undefined
if (benchmark === undefined) {
  const lines = Object.entries(BENCHMARKS).map(([each, { summary }]) => `  ${each.padEnd(12)} ${summary}`)
  console.error(`usage: npm run bench -- NAME [--devices N,N,...] [--json]\n${lines.join('\n')}`)
  process.exit(1)
}
const dataDir = path.resolve(process.env.SKERRY_DATA_DIR ?? path.join(root, '.skerry'))
const context = { ...tools, dataDir, say, ...(sizes === undefined ? {} : { devices: sizes }) }
console.log(JSON.stringify(await benchmark.run(context)))
