// npm run zoo [-- --model NAME --variant NAME --markdown FILE ...]: set-up, then conversions of models that nobody here made.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup.mjs'

await setupOrExit({ log: console.error })
const command = path.resolve(import.meta.dirname, '../packages/model-zoo/dist/run.js')
process.argv.splice(1, 1, command)
await import(pathToFileURL(command).href)
