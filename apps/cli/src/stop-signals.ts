/**
 * Runs `stop` once when the process is asked to end: Ctrl-C, SIGTERM, or the end of a parent that started it over IPC,
 * so that nothing it started outlives a killed parent. A second signal ends at once.
 */
export function onStop(stop: () => Promise<void>): void {
  let stopping = false
  const once = () => {
    if (stopping) process.exit(130)
    stopping = true
    stop().then(
      () => process.exit(),
      (error) => {
        console.error(error)
        process.exit(1)
      }
    )
  }
  process.on('SIGINT', once)
  process.on('SIGTERM', once)
  if (process.send !== undefined) process.once('disconnect', once)
}
