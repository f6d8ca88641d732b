import { describe, expect, test } from 'vitest'
import { parseSmtpUrl } from '../../../src/notify/email/smtp-url.ts'
import { Secret } from '../../../src/secret.ts'

const parse = (url: string) => parseSmtpUrl(new Secret(url))

describe('SMTP_URL', () => {
  test('host, port, login and options', () => {
    const server = parse('smtp://us%40er:p%25%2Fss@mail.example:2525?name=client.example&tls.servername=other.example')
    expect(server).toMatchObject({
      host: 'mail.example',
      port: 2525,
      secure: false,
      name: 'client.example',
      tls: { servername: 'other.example' },
    })
    expect(server.login?.user).toBe('us@er')
    expect(server.login?.password.reveal()).toBe('p%/ss')
    expect(JSON.stringify(server)).not.toContain('p%/ss')
  })

  test('the usual ports', () => {
    expect(parse('smtp://mail.example').port).toBe(587)
    expect(parse('smtps://mail.example')).toMatchObject({ port: 465, secure: true })
    expect(parse('smtp://[::1]:25')).toMatchObject({ host: '::1', port: 25 })
  })

  test('a login leaves the machine only over TLS, unless the operator says otherwise', () => {
    expect(parse('smtp://u:p@mail.example').requireTLS).toBe(true)
    expect(parse('smtp://u:p@10.0.0.5').requireTLS).toBe(true)
    expect(parse('smtp://u:p@127.0.0.1').requireTLS).toBe(false)
    expect(parse('smtp://u:p@localhost').requireTLS).toBe(false)
    expect(parse('smtp://mail.example').requireTLS).toBe(false)
    expect(parse('smtp://mail.example?requireTLS=true').requireTLS).toBe(true)
    expect(parse('smtp://u:p@mail.example?requireTLS=false').requireTLS).toBe(false)
    expect(parse('smtp://u:p@mail.example?ignoreTLS=true')).toMatchObject({ requireTLS: false, ignoreTLS: true })
  })
})
