#separator \x09
#set_separator	,
#empty_field	(empty)
#unset_field	-
#path	http
#fields	ts	uid	id.orig_h	id.resp_h	id.resp_p	method	host	uri	user_agent	request_body_len	response_body_len	status_code	username	resp_mime_types
#types	time	string	addr	addr	port	string	string	string	string	count	count	count	string	vector[string]
1795644300.000000	C1K1442A9YR0	10.0.0.1	-	80	GET	\x1b[2J\xe2\x80\xaeevil.example	/orders/1	agent/1 \x1b]0;x\x07	101	1000	-	-	-
1795644600.000000	C1K144B8D7G0	10.0.0.2	-	80	GET	a\x2c"b".example	/orders/2	agent/1 \x1b]0;x\x07	102	2000	-	-	-
1795644900.000000	C1K144M6GG80	10.0.0.0	-	80	GET	=cmd|'x'!A0.example	/orders/3	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795645200.000000	C1K144X4KS00	10.0.0.1	-	80	GET	\xe9\x96\xa2\xe6\x89\x80.example	/orders/4	agent/1 \x1b]0;x\x07	104	4000	-	-	-
1795645500.000000	C1K14562Q1R0	10.0.0.2	-	80	GET	portal.example	/orders/5	agent/1 \x1b]0;x\x07	105	5000	-	-	-
1795645800.000000	C1K145F0TAG0	10.0.0.0	-	80	GET	\x1b[2J\xe2\x80\xaeevil.example	/orders/6	agent/1 \x1b]0;x\x07	106	6000	-	-	-
1795646100.000000	C1K145QYXK80	10.0.0.1	-	80	GET	a\x2c"b".example	/orders/7	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795646400.000000	C1K1460X0W00	10.0.0.2	-	80	GET	=cmd|'x'!A0.example	/orders/8	agent/1 \x1b]0;x\x07	108	8000	-	-	-
1795646700.000000	C1K1469V44R0	10.0.0.0	-	80	GET	\xe9\x96\xa2\xe6\x89\x80.example	/orders/9	agent/1 \x1b]0;x\x07	109	9000	-	-	-
1795647000.000000	C1K146JS7DG0	10.0.0.1	-	80	GET	portal.example	/orders/10	agent/1 \x1b]0;x\x07	110	10000	-	-	-
1795647300.000000	C1K146VQAP80	10.0.0.2	-	80	GET	\x1b[2J\xe2\x80\xaeevil.example	/orders/11	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795647600.000000	C1K1474NDZ00	10.0.0.0	-	80	GET	a\x2c"b".example	/orders/12	agent/1 \x1b]0;x\x07	112	12000	-	-	-
1795647900.000000	C1K147DKH7R0	10.0.0.1	-	80	GET	=cmd|'x'!A0.example	/orders/13	agent/1 \x1b]0;x\x07	113	13000	-	-	-
1795648500.000000	C1K147ZFQS80	10.0.0.0	-	80	GET	portal.example	/orders/15	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795648800.000000	C1K1488DV200	10.0.0.1	-	80	GET	\x1b[2J\xe2\x80\xaeevil.example	/orders/16	agent/1 \x1b]0;x\x07	116	16000	-	-	-
1795649100.000000	C1K148HBYAR0	10.0.0.2	-	80	GET	a\x2c"b".example	/orders/17	agent/1 \x1b]0;x\x07	117	17000	-	-	-
1795649400.000000	C1K148TA1KG0	10.0.0.0	-	80	GET	=cmd|'x'!A0.example	/orders/18	agent/1 \x1b]0;x\x07	118	18000	-	-	-
1795649700.000000	C1K149384W80	10.0.0.1	-	80	GET	\xe9\x96\xa2\xe6\x89\x80.example	/orders/19	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795650000.000000	C1K149C68500	10.0.0.2	-	80	GET	portal.example	/orders/20	agent/1 \x1b]0;x\x07	120	20000	-	-	-
1795650600.000000	C1K149Y2EPG0	10.0.0.1	-	80	GET	a\x2c"b".example	/orders/22	agent/1 \x1b]0;x\x07	122	22000	-	-	-
1795650900.000000	C1K14A70HZ80	10.0.0.2	-	80	GET	=cmd|'x'!A0.example	/orders/23	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795644000.000000	C1K143SC6P00	10.0.0.0	-	80	GET	portal.example	/orders/0	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795648200.000000	C1K147PHMGG0	10.0.0.2	-	80	GET	\xe9\x96\xa2\xe6\x89\x80.example	/orders/14	agent/1 \x1b]0;x\x07	0	0	-	-	-
1795650300.000000	C1K149N4BDR0	10.0.0.0	-	80	GET	\x1b[2J\xe2\x80\xaeevil.example	/orders/21	agent/1 \x1b]0;x\x07	0	0	-	-	-
--- exit code 0
