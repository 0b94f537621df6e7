// An agent in a process of its own that says each point that it reaches and stops dead at one of them: every thread of
// its JavaScript waits there until the test kills it. Arguments: the agent's options as JSON, and the point, or nothing.
import { writeSync } from 'node:fs'
import { pino } from 'pino'
import { joinAndRun } from '../../dist/index.js'

const [, , options, last] = process.argv
const reachedFd = 3

try {
  await joinAndRun({
    ...JSON.parse(options),
    logger: pino({ level: 'silent' }),
    // No jitter: a reconnect comes at once.
    random: () => 0,
    onPoint: (point) => {
      writeSync(reachedFd, `${point}\n`)
      if (point !== last) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    }
  })
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
