(function () {
  "use strict";
  var token = "@token@", bits = @bits@, path = "@path@";
  var shown = document.getElementById("shown"), button = document.getElementById("go");
  var k = [], start = [];

  // The constants of SHA-256 (FIPS 180-4, 4.2.2 and 5.3.3): fractions of roots of the first primes.
  (function () {
    for (var n = 2; k.length < 64; n++) {
      var prime = true;
      for (var d = 2; d * d <= n; d++) {
        if (n % d === 0) { prime = false; break; }
      }
      if (!prime) { continue; }
      if (start.length < 8) { start.push((Math.pow(n, 1 / 2) * 4294967296) | 0); }
      k.push((Math.pow(n, 1 / 3) * 4294967296) | 0);
    }
  })();

  function turn(x, by) { return (x >>> by) | (x << (32 - by)); }

  // The first word of the hash of a text of ASCII.
  function first(text) {
    var words = [], length = text.length, blocks = ((length + 8) >> 6) + 1, i, t;
    for (i = 0; i < blocks * 16; i++) { words[i] = 0; }
    for (i = 0; i < length; i++) { words[i >> 2] |= text.charCodeAt(i) << (24 - (i & 3) * 8); }
    words[length >> 2] |= 0x80 << (24 - (length & 3) * 8);
    words[blocks * 16 - 1] = length * 8;
    var hash = start.slice(0), w = [];
    for (var block = 0; block < blocks; block++) {
      var a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4], f = hash[5], g = hash[6], h = hash[7];
      for (t = 0; t < 64; t++) {
        if (t < 16) {
          w[t] = words[block * 16 + t];
        } else {
          var x = w[t - 15], y = w[t - 2];
          w[t] = (w[t - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + w[t - 7] +
            (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0;
        }
        var one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[t] + w[t]) | 0;
        var two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
      }
      hash = [hash[0] + a | 0, hash[1] + b | 0, hash[2] + c | 0, hash[3] + d | 0,
        hash[4] + e | 0, hash[5] + f | 0, hash[6] + g | 0, hash[7] + h | 0];
    }
    return hash[0];
  }

  function say(which) {
    shown.textContent = shown.getAttribute("data-" + which);
  }

  function send(number) {
    var request = new XMLHttpRequest();
    request.open("GET", path + "?t=" + token + "&n=" + number);
    request.onload = function () {
      if (request.status === 204) {
        say("done");
        location.reload();
      } else if (request.status === 409) {
        // A new page will do. The gate counts them, so this ends.
        setTimeout(function () { location.reload(); }, 1000);
      } else {
        say("failed");
      }
    };
    request.onerror = function () { say("failed"); };
    request.send();
  }

  function work(number) {
    for (var end = number + 256; number < end; number++) {
      if ((first(token + "." + number) >>> (32 - bits)) === 0) {
        return send(number);
      }
    }
    setTimeout(function () { work(number); }, 0);
  }

  function begin() {
    if (button) { button.hidden = true; }
    say("working");
    setTimeout(function () { work(0); }, 0);
  }

  if (button) {
    button.hidden = false;
    button.onclick = begin;
  } else {
    begin();
  }
})();
