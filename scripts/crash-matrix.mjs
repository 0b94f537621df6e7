// npm run crash-matrix [-- --write]: kills agents at every step and compares what is found with the table in
// docs/agent.md; --write puts the table there.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { setupOrExit } from './setup.mjs'

const root = path.resolve(import.meta.dirname, '..')
await setupOrExit({ log: console.error })
const env = { ...process.env, ...(process.argv.includes('--write') ? { SKERRY_WRITE_CRASH_MATRIX: '1' } : {}) }
const vitest = path.join(root, 'node_modules/vitest/vitest.mjs')
const { status } = spawnSync(process.execPath, [vitest, 'run', 'apps/agent/test/crash'], {
  cwd: root,
  env,
  stdio: 'inherit'
})
process.exit(status ?? 1)
