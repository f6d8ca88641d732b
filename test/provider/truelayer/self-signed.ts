// A certificate for localhost that nobody signed but itself, and its key: good for loopback tests and nothing else.
export const selfSigned = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUIsDNmd5ixuVM7f/VsvG9XqUlJk4wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzAyNTA0MVoYDzIxMjYxMDMw
MDI1MDQxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR4fncC9xzV7nIbsP/yJX4PhVEmNqQlppwQPgaYgkYGYaysWF0B9tjE
9JaGirSGxUtspbuZUMiqeoxpC3lMxS2jo28wbTAdBgNVHQ4EFgQUo7NsTinyXSeX
3My0l9pXBCU0/4cwHwYDVR0jBBgwFoAUo7NsTinyXSeX3My0l9pXBCU0/4cwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAPhB8o0cYd1i2CyzJRQJDKvSsvE5/e3CyEJOkeYTY5QzAiA/
Ix1ARYrlTa+1xCe81GaNRcHxVbXmohewnb6Nl6RV1g==
-----END CERTIFICATE-----`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOBYJ3bLimfWzkrNE
rdwDsIzMmvcM+K8Nk99PkGSy6GKhRANCAAR4fncC9xzV7nIbsP/yJX4PhVEmNqQl
ppwQPgaYgkYGYaysWF0B9tjE9JaGirSGxUtspbuZUMiqeoxpC3lMxS2j
-----END PRIVATE KEY-----`,
}
