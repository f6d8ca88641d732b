// What the domain must know about mail addresses. Pure.

/**
 * Whether only mail servers with SMTPUTF8 (RFC 6531) accept the address: a domain can be written in ASCII, the part
 * before the @ cannot.
 */
export const needsSmtpUtf8 = (address: string): boolean =>
  !/^[\x20-\x7e]*$/.test(address.slice(0, address.lastIndexOf('@')))
