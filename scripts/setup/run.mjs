import { spawn } from 'node:child_process'
import { SetupError } from './setup-error.mjs'

const STILL_RUNNING_EVERY_MS = 15_000
const NO_DISK = /ENOSPC|no space left on device|disk quota exceeded/i

/**
 * Runs a command to its end and answers its standard output. A long one tells its newest line now and then; one that
 * fails ends in an error whose message starts with `what` and holds its last lines.
 */
export function run(command, args, { what, cwd, env, log }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      stdout += chunk
      said = (said + chunk).slice(-20_000)
    })
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      said = (said + chunk).slice(-20_000)
    })
    const startedMs = performance.now()
    const timer = setInterval(() => {
      const newest = said
        .trimEnd()
        .split(/[\r\n]/)
        .at(-1)
      log(
        `  ${what}: still at it after ${Math.round((performance.now() - startedMs) / 1_000)} s${newest ? `: ${newest}` : ''}`
      )
    }, STILL_RUNNING_EVERY_MS)
    child.once('error', (error) => {
      clearInterval(timer)
      reject(new SetupError(`${what}: ${command} cannot be run: ${error.message}`))
    })
    child.once('close', (exitCode, signal) => {
      clearInterval(timer)
      if (exitCode === 0) resolve(stdout)
      else if (NO_DISK.test(said)) reject(new SetupError(`${what}: no space is left on the disk`))
      else reject(new SetupError(`${what} failed (${signal ?? `exit code ${exitCode}`})\n${lastLines(said)}`))
    })
  })
}

function lastLines(text) {
  return text.trimEnd().split('\n').slice(-25).join('\n')
}
