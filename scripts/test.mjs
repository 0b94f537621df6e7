// npm test: set-up, the checks, the tests; each check counts as one test. Ends with a line `N passed, N failed`.
//   npm test -- --only NAME   one part (format-and-lint, types, dependencies, migrations, vitest); may be repeated
//   npm test -- packages/x    the rest goes to vitest
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { SetupError } from './setup/setup-error.mjs'
import { setup } from './setup.mjs'

const root = path.resolve(import.meta.dirname, '..')
const bin = (file) => path.join(root, 'node_modules', file)

const CHECKS = {
  'format-and-lint': [bin('@biomejs/biome/bin/biome'), 'check', '--error-on-warnings', '.'],
  types: [bin('typescript/bin/tsc'), '-p', 'tsconfig.test.json'],
  dependencies: ['scripts/check-dependencies.mjs'],
  migrations: ['scripts/check-migrations.mjs']
}

const { values, positionals } = parseArgs({
  options: { only: { type: 'string', multiple: true } },
  allowPositionals: true
})
const parts = [...Object.keys(CHECKS), 'vitest']
const unknown = values.only?.find((name) => !parts.includes(name))
if (unknown !== undefined) {
  console.error(`there is no part ${unknown}: ${parts.join(', ')}`)
  process.exit(1)
}
const wanted = parts.filter((name) => values.only?.includes(name) ?? true)

const counts = { passed: 0, failed: 0 }
if (await setUp()) {
  for (const name of wanted) {
    if (name === 'vitest') runVitest(positionals)
    else runCheck(name, CHECKS[name])
  }
}
console.log(`${counts.passed} passed, ${counts.failed} failed`)
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0

async function setUp() {
  try {
    await setup({ log: console.log })
    return true
  } catch (error) {
    console.error(error instanceof SetupError ? `set-up: ${error.message}` : error)
    counts.failed += 1
    return false
  }
}

function runCheck(name, args) {
  const startedMs = performance.now()
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1)
  console.log(`${name.padEnd(20)}${(status === 0 ? 'passed' : 'FAILED').padEnd(12)}${seconds} s`)
  counts[status === 0 ? 'passed' : 'failed'] += 1
}

function runVitest(args) {
  const reportDir = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-report-'))
  const report = path.join(reportDir, 'vitest.json')
  const vitest = [
    bin('vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`
  ]
  const { status } = spawnSync(process.execPath, [...vitest, ...args], { cwd: root, stdio: 'inherit' })
  if (fs.existsSync(report)) countReport(JSON.parse(fs.readFileSync(report, 'utf8')))
  // An error outside any test, or no report at all: that is a failure too.
  if (status !== 0 && counts.failed === 0) counts.failed += 1
  fs.rmSync(reportDir, { recursive: true, force: true })
}

function countReport({ numPassedTests, numFailedTests, numPendingTests, testResults }) {
  counts.passed += numPassedTests
  counts.failed += numFailedTests
  // A file that could not be loaded has no tests of its own to fail.
  counts.failed += testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
  if (numPendingTests > 0) console.log(`${numPendingTests} left out: not for this machine, or filtered`)
}
