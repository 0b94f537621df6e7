import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { keptFolder, scriptsFolder } from './kept-folder.ts'
import type { ZooContext } from './zoo-model.ts'

/** Runs a script of python/ and answers what it printed. */
export async function runScript(
  { python, cacheDir, log }: Pick<ZooContext, 'python' | 'cacheDir' | 'log'>,
  script: string,
  args: readonly string[]
): Promise<string> {
  const file = path.join(scriptsFolder, script)
  // Nothing of this process's environment, so that a model depends on its script alone.
  const env = { PYTHONHASHSEED: '0', TF_CPP_MIN_LOG_LEVEL: '2', HOME: cacheDir, TMPDIR: cacheDir }
  const { stdout, stderr } = await promisify(execFile)(python, ['-s', '-B', file, ...args], {
    env,
    maxBuffer: 64 << 20
  })
  for (const line of stderr.split('\n')) if (/accuracy|deviation/.test(line)) log(line)
  return stdout
}

/**
 * The folder that a script makes, whose last argument is that folder. Kept until the script, what it reads of python/,
 * or its arguments change.
 */
export function madeFolder(
  context: ZooContext,
  name: string,
  script: string,
  args: readonly string[],
  imports: readonly string[]
): Promise<string> {
  const key = { scripts: [script, ...imports], arguments: args.map((each) => each.replace(context.packagesDir, '')) }
  return keptFolder(context.cacheDir, name, key, async (folder) => {
    context.log(`making ${name}`)
    await runScript(context, script, [...args, folder])
  })
}
