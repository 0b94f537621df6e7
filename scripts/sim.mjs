// npm run sim -- --latency FILE --arrivals FILE ...: set-up, then a workload in virtual time.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup.mjs'

const root = path.resolve(import.meta.dirname, '..')
await setupOrExit({ log: console.error })
const { runSim } = await import(pathToFileURL(path.join(root, 'packages/sim/dist/index.js')).href)
process.exitCode = runSim(process.argv.slice(2), console.log)
