// npm start [-- --once --json ...]: set-up, then the skerry command's `up`, in this same process, so that signals, a
// hard kill and the exit code need no passing on.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup.mjs'

const args = process.argv.slice(2)
// With --json the last line of standard output is the summary, and nothing else of ours is on it.
await setupOrExit({ log: args.includes('--json') ? console.error : console.log })

const command = path.resolve(import.meta.dirname, '../apps/cli/dist/main.js')
process.argv = [process.execPath, command, 'up', ...args]
await import(pathToFileURL(command).href)
