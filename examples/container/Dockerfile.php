# The official PHP image (Debian's) with mailchute: the two lines that put it in, and one that looks at what was built.
FROM php:8.4-fpm
COPY mailchute_*_amd64.deb mailchute-mta_*_amd64.deb /tmp/
RUN dpkg --install /tmp/mailchute*.deb && rm /tmp/mailchute*.deb && echo 'sendmail_path = "/usr/sbin/sendmail -t -i"' >"$PHP_INI_DIR/conf.d/mailchute.ini"
# Whether PHP and the links lead to it; where mail goes is said when the container starts, so any URL will do here.
RUN MAILCHUTE_URL=smtps://smtp.example.net mailchute check --offline
