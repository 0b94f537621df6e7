import fs from 'node:fs'
import path from 'node:path'
import { EmbeddedError } from './embedded-error.ts'
import { SYSTEM_PATH } from './service.ts'

/** The user that a service runs as when this process is root; null when it is not and they are the same. */
export type OrdinaryUser = { uid: number; gid: number; setpriv: string }

/** Postgres refuses to run as root and wants a user with a name, so root hands it to nobody. */
export function ordinaryUser(): OrdinaryUser | null {
  if (process.getuid?.() !== 0) return null
  const setpriv = SYSTEM_PATH.split(':')
    .map((directory) => path.join(directory, 'setpriv'))
    .find((file) => fs.existsSync(file))
  if (setpriv === undefined) {
    const message =
      'Postgres does not run as root, and setpriv, which starts it as another user, is missing. Install util-linux (apt install util-linux, apk add setpriv), or run as an ordinary user'
    throw new EmbeddedError('tool-missing', message)
  }
  const nobody = fs.readFileSync('/etc/passwd', 'utf8').match(/^nobody:[^:]*:(\d+):(\d+):/m)
  if (nobody === null) {
    throw new EmbeddedError(
      'tool-missing',
      'Postgres does not run as root, and /etc/passwd has no user nobody to run it as'
    )
  }
  return { uid: Number(nobody[1]), gid: Number(nobody[2]), setpriv }
}

/**
 * The user keeps the right to pass over file permissions, so that a checkout in a private home (mode 0700) works, and
 * nothing else. Without no_setuid_fixup, access(2), which initdb uses, would not see that right.
 */
export function commandAs(
  user: OrdinaryUser | null,
  command: string,
  args: string[]
): { command: string; args: string[] } {
  if (user === null) return { command, args }
  const identity = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
  const rights = ['--securebits=+no_setuid_fixup', '--inh-caps=-all,+dac_override', '--ambient-caps=-all,+dac_override']
  return { command: user.setpriv, args: [...identity, ...rights, '--', command, ...args] }
}

/** Gives a whole directory to the user, when it is not theirs yet. */
export function giveTo(user: OrdinaryUser | null, directory: string): void {
  const owner = fs.statSync(directory).uid
  if (user === null) {
    const uid = process.getuid?.()
    if (uid === undefined || owner === uid) return
    throw new EmbeddedError(
      'data-dir-owner',
      `${directory} belongs to another user (id ${owner}): chown it, or use another data directory`
    )
  }
  if (owner === user.uid) return
  for (const entry of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    fs.lchownSync(path.join(directory, entry), user.uid, user.gid)
  }
  fs.chownSync(directory, user.uid, user.gid)
}
