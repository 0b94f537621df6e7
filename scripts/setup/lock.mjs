// Two set-ups of one checkout at once (npm start beside npm test) would write into the same folders.
import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** Runs the work when no other live process holds the lock file. */
export async function withLock(lockFile, log, work) {
  for (let told = false; !take(lockFile); told = true) {
    const holder = Number(fs.readFileSync(lockFile, { encoding: 'utf8', flag: 'a+' }))
    if (!isAlive(holder)) {
      fs.rmSync(lockFile, { force: true })
      continue
    }
    if (!told) log(`waiting for the set-up of process ${holder}`)
    await delay(200)
  }
  try {
    return await work()
  } finally {
    fs.rmSync(lockFile, { force: true })
  }
}

// A link appears with its content in it, so that no other process reads an empty lock.
function take(lockFile) {
  const own = `${lockFile}.${process.pid}`
  fs.writeFileSync(own, String(process.pid))
  try {
    fs.linkSync(own, lockFile)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  } finally {
    fs.rmSync(own)
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
