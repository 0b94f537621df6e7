import net from 'node:net'

/** Whether a server of the Redis protocol on loopback answers PING; while it still loads its data it does not. */
export function answersPing(port: number, password: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port })
    let said = ''
    const settle = (ready: boolean): void => {
      socket.destroy()
      resolve(ready)
    }
    socket.setTimeout(5_000, () => settle(false))
    socket.once('error', () => settle(false))
    socket.once('close', () => settle(false))
    socket.once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`))
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      said += chunk
      const answers = said.split('\r\n')
      if (answers.length > 2) settle(answers[0] === '+OK' && answers[1] === '+PONG')
    })
  })
}
